// Our golden vectors, worked out again by libraries that share nothing with us: node's own crypto and `jose`.
import assert from "node:assert/strict";
import { createECDH, createPrivateKey, hkdfSync, sign, verify, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import test from "node:test";
import * as jose from "jose";

const read = (name) => JSON.parse(readFileSync(new URL(`../vectors/${name}`, import.meta.url)));

/** The order of P-256. */
const ORDER = BigInt("0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");

function info({ site, generation, counter, algorithm }, label) {
  const u32 = (n) => Buffer.from(new Uint32Array([n]).buffer).reverse();
  const fields = [Buffer.from(label), u32(generation), Buffer.from(site), u32(counter), Buffer.from(algorithm)];
  return Buffer.concat(fields.flatMap((f) => [Buffer.from([f.length >> 8, f.length & 255]), f]));
}

test("pseudonyms are derived as the text says", async () => {
  const { root, label, message, cases } = read("pseudonym.json");
  for (const one of cases) {
    const bytes = info(one, label);
    assert.equal(bytes.toString("hex"), one.info);
    const length = one.algorithm === "Ed25519" ? 32 : 48;
    const okm = Buffer.from(hkdfSync("sha256", Buffer.from(root, "hex"), "", bytes, length));
    assert.equal(okm.toString("hex"), one.okm);
    assert.equal(await jose.calculateJwkThumbprint(one.jwk), one.thumbprint);
    const signature = Buffer.from(one.signature, "hex");
    const key = createPublicKey({ key: one.jwk, format: "jwk" });
    if (one.algorithm === "Ed25519") {
      const secret = createPrivateKey({
        key: Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), okm]),
        format: "der",
        type: "pkcs8",
      });
      assert.deepEqual(sign(null, Buffer.from(message), secret), signature);
      assert.ok(verify(null, Buffer.from(message), key, signature));
    } else {
      const d = (BigInt(`0x${okm.toString("hex")}`) % (ORDER - 1n)) + 1n;
      const pair = createECDH("prime256v1");
      pair.setPrivateKey(d.toString(16).padStart(64, "0"), "hex");
      const point = pair.getPublicKey();
      assert.equal(point.subarray(1, 33).toString("base64url"), one.jwk.x);
      assert.equal(point.subarray(33).toString("base64url"), one.jwk.y);
      const ieee = { key, dsaEncoding: "ieee-p1363" };
      assert.ok(verify("sha256", Buffer.from(message), ieee, signature));
    }
  }
});

test("requests and answers verify with jose", async () => {
  const { now_ms, logins } = read("login.json");
  const currentDate = new Date(now_ms);
  for (const login of logins) {
    const clientId = new URL(login.code).searchParams.get("client_id");
    const { kid, alg } = jose.decodeProtectedHeader(login.request_object);
    const { publicKeyJwk } = login.did_document.verificationMethod.find(({ id }) => id === kid);
    const siteKey = await jose.importJWK(publicKeyJwk, alg);
    const request = await jose.jwtVerify(login.request_object, siteKey, {
      typ: "oauth-authz-req+jwt",
      audience: "https://self-issued.me/v2",
      currentDate,
    });
    assert.equal(request.payload.client_id, clientId);
    const walletNonce = new URLSearchParams(login.request_form).get("wallet_nonce");
    assert.equal(request.payload.wallet_nonce, walletNonce);

    const answer = new URLSearchParams(login.answer_form);
    assert.equal(answer.get("state"), request.payload.state);
    assert.equal(answer.get("digital_twin_number"), login.number);
    const token = answer.get("id_token");
    const { sub_jwk } = jose.decodeJwt(token);
    const expected = login.algorithm === "Ed25519" ? "EdDSA" : "ES256";
    const { payload } = await jose.jwtVerify(token, await jose.importJWK(sub_jwk, expected), {
      algorithms: [expected],
      audience: clientId,
      issuer: login.subject,
      subject: login.subject,
      currentDate,
    });
    assert.equal(payload.nonce, request.payload.nonce);
    assert.equal(await jose.calculateJwkThumbprint(sub_jwk), login.subject);
    assert.deepEqual(Object.keys(payload).sort(), ["aud", "exp", "iat", "iss", "nonce", "sub", "sub_jwk"]);
  }
});

// A site, a browser and wallets for the tests. Everything started here is stopped with the test.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";
import * as jose from "jose";

/** The built `twin` command. Without it only the site itself is tested, run from TWIN_SITE_BIN. */
export const TWIN = process.env.TWIN_BIN;
const SITE = TWIN ? [TWIN, "site"] : [process.env.TWIN_SITE_BIN];
if (!SITE[0] || !existsSync(SITE[0])) {
  throw new Error("Set TWIN_BIN to the built `twin` command (or TWIN_SITE_BIN to `twin-site`).");
}

const CHROMIUM = process.env.TWIN_CHROMIUM ?? "/usr/bin/chromium";
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Where screenshots go. */
export const SHOTS = process.env.SHOTS ?? path.join(tmpdir(), "twin-shots");
mkdirSync(SHOTS, { recursive: true });

/** A folder that is gone after the test. */
export function folder(t) {
  const dir = mkdtempSync(path.join(tmpdir(), "twin-browser-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Starts a site on a free port; gives the address that it prints. */
export async function startSite(t, ...options) {
  const [command, ...first] = SITE;
  const child = spawn(command, [...first, "--listen", "127.0.0.1:0", ...options], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  t.after(async () => {
    child.kill("SIGINT");
    await ended;
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const url = line.match(/https?:\/\/\S+/);
    if (url) {
      child.stdout.resume();
      return url[0];
    }
  }
  throw new Error("the site ended without saying where it is");
}

/** Runs a command to its end; `typed` is what a person types. */
export function run(command, args, { env = {}, typed } = {}) {
  const child = spawn(command, args, { env: { ...process.env, ...env } });
  let out = "";
  let err = "";
  child.stdout.on("data", (data) => (out += data));
  child.stderr.on("data", (data) => (err += data));
  const done = new Promise((resolve) =>
    child.on("close", (code) => resolve({ code, out, err })),
  );
  if (typed === undefined) child.stdin.end();
  return { done, type: (line) => child.stdin.end(`${line}\n`) };
}

/** One browser for a test. Chromium's own sandbox cannot run as root, as in a container. */
export async function startBrowser(t) {
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  const browser = await chromium.launch({ executablePath: CHROMIUM, args });
  t.after(() => browser.close());
  return browser;
}

/** A page that fails the test for any error or refused resource. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) page.problems.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) page.problems.push(`foreign: ${request.url()}`);
  });
  await page.goto(url);
  return page;
}

/** What axe-core finds wrong, as short sentences. */
export async function accessibilityProblems(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  return violations.map((v) => `${v.id}: ${v.help} (${v.nodes.map((n) => n.target).join(", ")})`);
}

/** Screenshots of this view in light and dark, narrow and wide; nothing may stick out sideways. */
export async function shoot(page, name) {
  const before = page.viewportSize();
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [320, 360, 1280]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await page.setViewportSize({ width, height: width < 600 ? 740 : 800 });
      const over = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      if (over > 0) throw new Error(`${name} at ${width} px is ${over} px too wide`);
      const file = path.join(SHOTS, `${name}-${colorScheme}-${width}.png`);
      await page.screenshot({ path: file, fullPage: true });
      const problems = await accessibilityProblems(page);
      if (problems.length) throw new Error(`${name} ${colorScheme} ${width}: ${problems.join("; ")}`);
    }
  }
  await page.emulateMedia({ colorScheme: null, reducedMotion: null });
  await page.setViewportSize(before);
}

/**
 * A wallet that shares no code with ours: OpenID4VP 1.0 and SIOPv2 straight from the
 * specifications, on `jose`.
 */
export class OtherWallet {
  constructor(alg) {
    this.alg = alg;
    this.keys = jose.generateKeyPair(alg, { extractable: true });
  }

  /** Fetches and verifies what a login code asks for. */
  async scan(code) {
    const query = new URL(code).searchParams;
    const clientId = query.get("client_id");
    const requestUri = query.get("request_uri");
    const walletNonce = randomBytes(16).toString("base64url");
    const reply = await fetch(requestUri, {
      method: query.get("request_uri_method") === "post" ? "POST" : "GET",
      body: new URLSearchParams({ wallet_metadata: "{}", wallet_nonce: walletNonce }),
    });
    const object = await reply.text();
    const did = clientId.replace("decentralized_identifier:", "");
    const site = did.replace("did:web:", "").replace("%3A", ":");
    const document = await (await fetch(`http://${site}/.well-known/did.json`)).json();
    const { kid, alg } = jose.decodeProtectedHeader(object);
    const method = document.verificationMethod.find(({ id }) => id === kid);
    const key = await jose.importJWK(method.publicKeyJwk, alg);
    const { payload } = await jose.jwtVerify(object, key, {
      typ: "oauth-authz-req+jwt",
      audience: "https://self-issued.me/v2",
    });
    return { reply, payload, document, clientId, walletNonce };
  }

  /** Answers a request; gives the subject it signed in as and the site's reply. */
  async approve(payload, changes = {}) {
    const { publicKey, privateKey } = await this.keys;
    const jwk = await jose.exportJWK(publicKey);
    const subject = await jose.calculateJwkThumbprint(jwk);
    const token = await new jose.SignJWT({ nonce: payload.nonce, sub_jwk: jwk, ...changes })
      .setProtectedHeader({ alg: this.alg })
      .setIssuer(subject)
      .setSubject(subject)
      .setAudience(payload.client_id)
      .setIssuedAt()
      .setExpirationTime("5m")
      .sign(privateKey);
    const reply = await fetch(payload.response_uri, {
      method: "POST",
      body: new URLSearchParams({ id_token: token, state: payload.state }),
    });
    return { subject, status: reply.status, body: await reply.json() };
  }
}

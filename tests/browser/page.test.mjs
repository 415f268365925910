// The login page as a person meets it: seen, scanned, read aloud.
import assert from "node:assert/strict";
import path from "node:path";
import test from "node:test";
import {
  OtherWallet,
  SHOTS,
  TWIN,
  accessibilityProblems,
  folder,
  open,
  run,
  shoot,
  startBrowser,
  startSite,
} from "./support.mjs";

const NAME = "Example Shop";

test("the page can be read, scanned and followed, in every shape", async (t) => {
  const url = await startSite(t, "--name", NAME);
  const browser = await startBrowser(t);
  const page = await open(browser, url);

  await t.test("it is built for everybody", async () => {
    assert.equal(await page.getAttribute("html", "lang"), "en");
    assert.equal(await page.locator("h1").count(), 1);
    assert.equal(await page.locator("main").count(), 1);
    assert.equal(await page.locator("header, footer").count(), 2);
    assert.equal(await page.getByRole("status").count(), 1);
    assert.equal(await page.getByRole("img", { name: `log in at ${NAME}` }).count(), 1);
    assert.deepEqual(await accessibilityProblems(page), []);
    await page.getByText("Cannot scan?").click();
    assert.match(await page.getByLabel(/copy this login code/).inputValue(), /^openid4vp:/);
    assert.deepEqual(await accessibilityProblems(page), []);
    await shoot(page, "code-open");
    await page.getByText("Cannot scan?").click();
    await shoot(page, "code");
  });

  await t.test("the code is copied by a button", async () => {
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.getByText("Cannot scan?").click();
    await page.getByRole("button", { name: "Copy" }).click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    assert.equal(copied, await page.locator("#code").inputValue());
  });

  await t.test("it weighs little and brings nothing from elsewhere", async () => {
    const bytes = await page.evaluate(() =>
      ["navigation", "resource"]
        .flatMap((kind) => performance.getEntriesByType(kind))
        .reduce((sum, entry) => sum + entry.encodedBodySize, 0),
    );
    assert.ok(bytes > 0 && bytes < 40_000, `${bytes} bytes`);
  });

  assert.deepEqual(page.problems, []);
});

test("a wallet of other making signs in, and the page turns without a reload", async (t) => {
  const url = await startSite(t, "--name", NAME);
  const browser = await startBrowser(t);
  const subjects = new Set();
  for (const alg of ["EdDSA", "ES256"]) {
    const page = await open(browser, url);
    await page.evaluate(() => (globalThis.sameDocument = true));
    const wallet = new OtherWallet(alg);
    const request = await wallet.scan(await page.locator("#code").inputValue());
    assert.equal(request.reply.headers.get("content-type"), "application/oauth-authz-req+jwt");
    assert.equal(request.payload.client_id, request.clientId);
    assert.equal(request.payload.wallet_nonce, request.walletNonce);
    assert.equal(request.payload.response_type, "id_token");
    assert.equal(request.payload.client_metadata.client_name, NAME);
    await page.getByRole("heading", { name: "Approve on your phone" }).waitFor();

    const forged = await wallet.approve(request.payload, { nonce: "another" });
    assert.equal(forged.status, 400);
    assert.equal(forged.body.digital_twin_refusal, "wrong_nonce");
    const { subject, status } = await wallet.approve(request.payload);
    assert.equal(status, 200);
    await page.getByRole("heading", { name: "You are signed in" }).waitFor();
    assert.equal(await page.locator("#pseudonym").textContent(), subject);
    assert.equal(await page.getByRole("status").textContent(), `You are signed in at ${NAME}.`);
    assert.ok(await page.evaluate(() => globalThis.sameDocument), "the page was not reloaded");
    assert.equal((await wallet.approve(request.payload)).status, 410);
    if (alg === "ES256") await shoot(page, "signed-in");

    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Log in with your twin" }).waitFor();
    assert.deepEqual(page.problems, []);
    subjects.add(subject);
  }
  assert.equal(subjects.size, 2);
});

test("without JavaScript the page works by looking again", async (t) => {
  const url = await startSite(t);
  const browser = await startBrowser(t);
  const page = await open(browser, url, { javaScriptEnabled: false });
  const wallet = new OtherWallet("EdDSA");
  await page.getByText("Cannot scan?").click();
  const request = await wallet.scan(await page.locator("#code").inputValue());
  const { subject } = await wallet.approve(request.payload);
  await page.getByRole("link", { name: "look again" }).click();
  assert.equal(await page.locator("#pseudonym").textContent(), subject);
});

test("a refused login is explained, and tried again", async (t) => {
  const url = await startSite(t);
  const browser = await startBrowser(t);
  const page = await open(browser, url);
  const wallet = new OtherWallet("EdDSA");
  const { payload } = await wallet.scan(await page.locator("#code").inputValue());
  const form = new URLSearchParams({ error: "access_denied", state: payload.state });
  assert.equal((await fetch(payload.response_uri, { method: "POST", body: form })).status, 200);
  await page.getByRole("heading", { name: "This login has ended" }).waitFor();
  await page.locator("main").getByText("You said no on your phone").waitFor();
  await shoot(page, "ended");
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByRole("heading", { name: "Log in with your twin" }).waitFor();
  assert.match(await page.locator("#code").inputValue(), /^openid4vp:/);
  await page.goto(`${url}nowhere`);
  await page.getByRole("heading", { name: "There is no such page" }).waitFor();
});

test("the number of a phone that asks for it is shown large", async (t) => {
  const url = await startSite(t, "--name", NAME);
  const browser = await startBrowser(t);
  const page = await open(browser, url);
  const requestUri = new URL(await page.locator("#code").inputValue()).searchParams.get("request_uri");
  const metadata = JSON.stringify({ vp_formats_supported: {}, digital_twin_number_match: true });
  const body = new URLSearchParams({ wallet_metadata: metadata });
  assert.equal((await fetch(requestUri, { method: "POST", body })).status, 200);
  await page.getByRole("heading", { name: "Type the number on your phone" }).waitFor();
  const number = await page.locator("#number").textContent();
  assert.match(number, /^[1-9][0-9]$/);
  assert.match(await page.getByRole("status").textContent(), new RegExp(`number ${number} `));
  await shoot(page, "number");
  assert.equal((await fetch(requestUri)).status, 400, "no way round the number");
  await page.getByRole("button", { name: "Start over" }).click();
  await page.locator("#code").waitFor({ state: "attached" });
  assert.equal((await fetch(requestUri)).status, 404);
  assert.deepEqual(page.problems, []);
});

test("the twin command logs in from the screenshot", { skip: !TWIN && "TWIN_BIN is not set" }, async (t) => {
  const home = path.join(folder(t), "home");
  const env = { TWIN_PASSWORD: "correct horse battery staple" };
  const created = await run(TWIN, ["--home", home, "create", "--name", "Ada"], { env }).done;
  assert.equal(created.code, 0, created.err);
  const browser = await startBrowser(t);
  const pseudonyms = [];
  for (const site of ["one", "two"]) {
    const url = await startSite(t, "--name", `Shop ${site}`);
    const page = await open(browser, url, { viewport: { width: 1280, height: 800 } });
    await page.evaluate(() => (globalThis.sameDocument = true));
    const shot = path.join(SHOTS, `scanned-${site}.png`);
    await page.screenshot({ path: shot });

    const login = run(TWIN, ["--home", home, "login", shot, "--yes"], { env, typed: true });
    const number = page.locator("#number");
    const early = login.done.then(({ code, err }) => {
      throw new Error(`twin login ended with ${code} before a number was shown: ${err}`);
    });
    await Promise.race([number.waitFor(), early]);
    early.catch(() => {});
    login.type(await number.textContent());
    const { code, err } = await login.done;
    assert.equal(code, 0, err);
    await page.getByRole("heading", { name: "You are signed in" }).waitFor();
    assert.ok(await page.evaluate(() => globalThis.sameDocument), "the page was not reloaded");
    const pseudonym = await page.locator("#pseudonym").textContent();
    assert.match(pseudonym, /^[A-Za-z0-9_-]{43}$/);
    assert.deepEqual(page.problems, []);
    pseudonyms.push(pseudonym);
  }
  assert.notEqual(pseudonyms[0], pseudonyms[1], "two sites see two people");
});

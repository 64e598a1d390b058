// What every Node peer shares: where the server is, how checks run and are counted, waiting on conditions.
// A peer ends with one line "NAME: N passed, N failed" and status 1 when something failed; `run` reads that line.

const CHECK_MS = 60000;
const POLL_MS = 10;

const address = process.env.FANFARE_ADDRESS;
if (!address) throw new Error("FANFARE_ADDRESS must be the server's host:port; tests/peers/run sets it");

export const SOON_MS = 10000;
export const RPC_POST = `http://${address}/rpc`;
export const RPC_SOCKET = `ws://${address}/rpc`;
export const OPENRPC = `http://${address}/openrpc.json`;

/** Fails with `what` when the promise takes longer than `ms`. */
export async function within(what, ms, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The first truthy answer of `condition`. */
export async function until(what, condition) {
  const deadline = Date.now() + SOON_MS;
  for (;;) {
    const answer = await condition();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${SOON_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** The error a call ends with. */
export async function failure(call) {
  let result;
  try {
    result = await call;
  } catch (error) {
    return error;
  }
  throw new Error(`expected an error, got ${JSON.stringify(result)}`);
}

/** `POST /rpc` with this body: the status and the text of the answer. */
export async function post(body) {
  const answer = await fetch(RPC_POST, { method: "POST", headers: { "content-type": "application/json" }, body });
  return { status: answer.status, text: await answer.text() };
}

/** Runs `checks` (`[name, async function]`) one after another and ends the process. */
export async function run(peer, checks) {
  let failed = 0;
  for (const [name, check] of checks) {
    try {
      await within(name, CHECK_MS, check());
      console.log(`ok ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`not ok ${name}\n    ${String(error?.stack ?? JSON.stringify(error)).replaceAll("\n", "\n    ")}`);
    }
  }
  console.log(`${peer}: ${checks.length - failed} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);
}

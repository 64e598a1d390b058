// Waiting on a condition, with a deadline and a name for the message.
const LOOK_EVERY_MS = 25;

/** Asks `look` until it answers something truthy and answers that; an error it throws ends the wait. */
export async function until(what, ms, look) {
  const deadline = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited ${ms} ms in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

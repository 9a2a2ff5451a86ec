// A Node process for tests: it runs the JavaScript that it is sent, with the unmodified package in two versions as OpenTok['2.23.2'] and
// OpenTok['2.19.0'], and does(object, method, ...) for a promise of a method with a callback. One JSON value per line: in comes the
// expression, out goes {value}, or {error} with the message of what was thrown. It ends with its input, or as Node does for a rejection that
// nobody handles.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import vm from 'node:vm';

// The output is for answers.
for (const level of ['log', 'info', 'warn', 'error']) {
  console[level] = () => {};
}
const require = createRequire(import.meta.url);
globalThis.OpenTok = { '2.23.2': require('opentok-2.23.2'), '2.19.0': require('opentok-2.19.0') };
globalThis.does = (object, method, ...values) =>
  new Promise((resolve, reject) => {
    object[method](...values, (error, value) => (error ? reject(error) : resolve(value)));
  });

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = { value: (await vm.runInThisContext(JSON.parse(line))) ?? null };
  } catch (error) {
    answer = { error: String(error?.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

// A Node process for tests: it runs the JavaScript that it is sent, with the unmodified openvidu-node-client as OpenViduNodeClient, as a
// browser's developer tools do. One JSON value per line: in comes the expression, out goes {value}, or {error} with the message of what was
// thrown. It ends with its input.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import vm from 'node:vm';

// The package logs what it fetches, tokens included. The output is for answers.
for (const level of ['log', 'info', 'warn', 'error']) {
  console[level] = () => {};
}
globalThis.OpenViduNodeClient = createRequire(import.meta.url)('openvidu-node-client');

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = { value: (await vm.runInThisContext(JSON.parse(line))) ?? null };
  } catch (error) {
    answer = { error: String(error?.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

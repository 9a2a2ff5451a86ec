// For bundlers: all names, and the namespace as the default. tsc compares it with the types that applications get.

import * as library from './ot.ts';

export * from './ot.ts';
export default library satisfies typeof OT;

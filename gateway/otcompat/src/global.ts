// For script elements: sets OT, and TB, which old applications know.

import * as OT from './ot.ts';

const namespace = { ...OT };
Object.assign(globalThis, { OT: namespace, TB: namespace });

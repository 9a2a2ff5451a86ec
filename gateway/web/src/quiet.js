// Guards the console before anything else is loaded.
import { guard } from './redact.js';

guard(globalThis.console);

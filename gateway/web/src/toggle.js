// Buttons that turn a device on and off.
import { texts } from './texts.js';

/**
 * Shows the state of a device on its button. aria-pressed says whether the device is on.
 *
 * @param {HTMLButtonElement} button
 * @param {boolean} on
 * @param {'microphone' | 'camera' | 'screen'} device
 */
export function setToggle(button, on, device) {
  const label = texts.toggles[device][Number(on)];
  button.setAttribute('aria-pressed', String(on));
  // A pressed button keeps its name for screen readers; the tip says what a click does.
  button.title = label;
}

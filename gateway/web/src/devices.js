// The lists in which a guest chooses camera and microphone, before a call and in it.

export class Devices {
  #media;
  #fields;

  /**
   * @param {import('./media.js').Media} media
   * @param {Record<'camera' | 'microphone', {select: HTMLSelectElement, field: HTMLElement}>} fields the lists, and what is hidden
   *   when there is nothing to choose from
   * @param {(device: 'camera' | 'microphone', id: string) => void} choose
   */
  constructor(media, fields, choose) {
    this.#media = media;
    this.#fields = fields;
    for (const [device, { select }] of Object.entries(fields)) {
      select.addEventListener('change', () => choose(device, select.value));
    }
    navigator.mediaDevices?.addEventListener?.('devicechange', () => this.render());
  }

  /** Lists the devices there are. */
  async render() {
    const devices = await this.#media.devices();
    for (const [device, { select, field }] of Object.entries(this.#fields)) {
      const options = devices[device].map(({ id, label }) => new Option(label, id));
      select.replaceChildren(...options);
      select.value = this.#media.current(device) || devices[device][0]?.id || '';
      field.hidden = options.length === 0;
    }
  }
}

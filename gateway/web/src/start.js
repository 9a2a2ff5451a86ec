// The start screen: the invitation, the guest's name and devices, and why joining did not work.
import { Devices } from './devices.js';
import { joinProblem, mediaProblem } from './messages.js';
import { fill, texts } from './texts.js';
import { setToggle } from './toggle.js';

const byId = (id) => document.getElementById(id);

export class Start {
  #media;
  #devices;
  #forget;
  #joining = false;
  /** Whether the invitation has to be pasted. */
  #asking = false;

  /**
   * @param {import('./media.js').Media} media
   * @param {{join: (pasted: string | null, name: string) => void, forget: () => void}} actions what the guest can do: join, with the
   *   pasted text if it was asked for; or forget the invitation and use another
   */
  constructor(media, { join, forget }) {
    this.#media = media;
    byId('join-form').addEventListener('submit', (event) => {
      event.preventDefault();
      if (!this.#joining) {
        join(this.#asking ? byId('token').value : null, byId('name').value);
      }
    });
    this.#forget = forget;
    byId('other-invitation').addEventListener('click', () => {
      this.#askAnew();
      byId('token').focus();
    });
    byId('start-microphone').addEventListener('click', () => media.setMicrophone(!media.microphoneOn));
    byId('start-camera').addEventListener('click', () => media.setCamera(!media.cameraOn));
    const field = (device) => ({ select: byId(`${device}-select`), field: byId(`${device}-field`) });
    const fields = { camera: field('camera'), microphone: field('microphone') };
    this.#devices = new Devices(media, fields, (device, id) => media.choose(device, id));
  }

  /** Shows what the invitation is for. */
  showInvitation({ session, host, elsewhere }) {
    this.#asking = false;
    byId('token-field').hidden = true;
    byId('other-invitation').hidden = false;
    byId('start-title').textContent = texts.page.readyToJoin;
    // Whoever follows a link should see when it leads to another server than the page's own.
    byId('start-subtitle').textContent = fill(elsewhere ? texts.page.roomElsewhere : texts.page.room, { room: session, host });
    this.clearProblem();
  }

  /** Shows a field for an invitation. */
  askForInvitation() {
    this.#asking = true;
    byId('token').value = '';
    byId('token-field').hidden = false;
    byId('other-invitation').hidden = true;
    byId('start-title').textContent = texts.page.joinARoom;
    byId('start-subtitle').textContent = texts.page.pasteInvitation;
    this.clearProblem();
  }

  #askAnew() {
    this.#forget();
    this.askForInvitation();
  }

  /** Shows why joining did not work, and how to go on. */
  showProblem(kind) {
    const { title, text, retry } = joinProblem(kind);
    if (!retry && !this.#asking) {
      this.#askAnew();
    }
    byId('alert').hidden = false;
    byId('alert').dataset.problem = kind;
    byId('alert-title').textContent = title;
    byId('alert-text').textContent = text;
    byId('join-text').textContent = retry ? texts.page.tryAgain : texts.page.join;
    byId('token').setAttribute('aria-invalid', String(this.#asking));
    byId('alert').focus();
  }

  /** Takes the message back. */
  clearProblem() {
    byId('alert').hidden = true;
    delete byId('alert').dataset.problem;
    byId('join-text').textContent = texts.page.join;
    byId('token').removeAttribute('aria-invalid');
  }

  /** Shows that it is being joined, or no longer. */
  setJoining(joining) {
    this.#joining = joining;
    const form = byId('join-form');
    form.classList.toggle('joining', joining);
    form.setAttribute('aria-busy', String(joining));
    for (const control of form.elements) {
      control.disabled = joining && control.id !== 'join';
    }
    byId('join').setAttribute('aria-disabled', String(joining));
    if (joining) {
      this.clearProblem();
      byId('join-text').textContent = texts.page.joining;
    } else if (byId('alert').hidden) {
      byId('join-text').textContent = texts.page.join;
    }
  }

  /** Shows what microphone and camera do. */
  renderMedia() {
    const { camera, cameraOn, microphoneOn, problems } = this.#media;
    setToggle(byId('start-microphone'), microphoneOn, 'microphone');
    setToggle(byId('start-camera'), cameraOn, 'camera');
    const video = byId('preview-video');
    const shown = video.srcObject?.getVideoTracks()[0] ?? null;
    if (shown !== camera) {
      video.srcObject = camera ? new MediaStream([camera]) : null;
    }
    document.querySelector('.preview').dataset.camera = camera ? 'on' : 'off';
    byId('preview-text').textContent = camera ? '' : cameraOn ? texts.page.startingCamera : texts.page.cameraOff;
    byId('media-problem').textContent = mediaProblem(problems);
    this.#devices.render();
  }
}

// What has to be done so that what is published becomes what is wanted. OpenVidu has no renegotiation: a kind of media that was
// not in the first offer needs a publication of its own, and everything else can be changed in place.

/**
 * @typedef {object} Wanted
 * @property {object | null} audio the microphone's track
 * @property {object | null} video the camera's or the screen's track
 * @property {boolean} audioOn
 * @property {boolean} videoOn
 * @property {boolean} screen whether video is a screen
 */

/**
 * @param {Wanted | null} published what is published now, as it was wanted; null when nothing is
 * @param {Wanted} wanted
 * @returns {Array<'unpublish' | 'publish' | 'mute' | 'unmute' | 'hide' | 'show' | 'replace-audio' | 'replace-video'>} in this order
 */
export function steps(published, wanted) {
  const something = Boolean(wanted.audio || wanted.video);
  if (!published) {
    return something ? ['publish'] : [];
  }
  const missing = (wanted.audio && !published.audio) || (wanted.video && !published.video);
  if (missing || (wanted.video && wanted.screen !== published.screen)) {
    return ['unpublish', 'publish'];
  }
  const result = [];
  if (wanted.audio && wanted.audio !== published.audio) {
    result.push('replace-audio');
  }
  const audioOn = Boolean(wanted.audio) && wanted.audioOn;
  if (published.audio && audioOn !== published.audioOn) {
    result.push(audioOn ? 'unmute' : 'mute');
  }
  const videoOn = Boolean(wanted.video) && wanted.videoOn;
  if (published.video && videoOn !== published.videoOn) {
    // Showing brings the new track with it.
    result.push(videoOn ? 'show' : 'hide');
  } else if (videoOn && wanted.video !== published.video) {
    result.push('replace-video');
  }
  return result;
}

// What tests need of the browser itself, put around WebSocket and RTCPeerConnection before openvidu-browser is loaded. The package is
// unmodified; without a fault asked for, the two classes do exactly what the browser's own do.

/** Every WebSocket of the page, oldest first. */
window.probes = {
  sockets: [],
  /** Every RTCPeerConnection of the page, oldest first. */
  connections: [],
  /** Sockets whose messages are lost in both directions, as on a path that is dead without anybody knowing. */
  dead: new Set(),
  /** While true, a new socket fails like one to a host that is not reachable. */
  unreachable: false,
  /** Video codecs (VP8, ...) that this browser behaves as if it had never heard of. */
  missingCodecs: [],
  /** The video codec that this browser offers first; empty leaves that to the browser. */
  favouriteCodec: '',
  /** While true, a peer connection knows no TCP address of the server: losing UDP is losing all. */
  udpOnly: false,
};

window.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    // Port 9 of this machine (discard) refuses connections.
    super(window.probes.unreachable ? 'ws://127.0.0.1:9/' : url, protocols ?? []);
    // First of all listeners, so it can keep a message from those of the application.
    super.addEventListener('message', (event) => {
      if (window.probes.dead.has(this)) {
        event.stopImmediatePropagation();
      }
    });
    window.probes.sockets.push(this);
  }

  send(data) {
    if (!window.probes.dead.has(this)) {
      super.send(data);
    }
  }
};

window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...args) {
    super(...args);
    window.probes.connections.push(this);
  }

  /** A sender does not offer a codec that is missing, and offers its favourite first. */
  createOffer(...args) {
    const { missingCodecs, favouriteCodec } = window.probes;
    if (missingCodecs.length > 0 || favouriteCodec) {
      const name = (codec) => codec.mimeType.replace('video/', '');
      const codecs = RTCRtpReceiver.getCapabilities('video').codecs
        .filter((codec) => !missingCodecs.includes(name(codec)))
        .sort((a, b) => (name(b) === favouriteCodec) - (name(a) === favouriteCodec));
      for (const transceiver of this.getTransceivers()) {
        if (transceiver.receiver.track.kind === 'video') {
          transceiver.setCodecPreferences(codecs);
        }
      }
    }
    return super.createOffer(...args);
  }

  /** A receiver does not know the name of a codec that is missing, nor TCP if there is to be none. */
  setRemoteDescription(description) {
    let { sdp } = description;
    for (const name of window.probes.missingCodecs) {
      sdp = sdp.replaceAll(` ${name}/90000`, ` X-${name}/90000`);
    }
    if (window.probes.udpOnly) {
      sdp = sdp.replace(/^a=candidate:\S+ \d+ tcp .*\r\n/gim, '');
    }
    return super.setRemoteDescription({ type: description.type, sdp });
  }
};

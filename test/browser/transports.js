// Put into every page of the tests before anything else: it notes over which transport each peer connection goes, and changes nothing.
(() => {
  const Plain = window.RTCPeerConnection;
  if (!Plain) {
    return;
  }
  /** What is known of each peer connection, oldest first. */
  const known = [];

  /** How long a connection that begins over TCP may take to find UDP, in ms. One that is closed before that tells nothing. */
  const findsUDP = 3000;

  /** The local candidate of the pair that is sent over (W3C webrtc-stats), undefined before there is one. */
  function selected(report) {
    const all = [...report.values()];
    const transport = all.find(({ type, selectedCandidatePairId }) => type === 'transport' && selectedCandidatePairId);
    const pair = transport
      ? report.get(transport.selectedCandidatePairId)
      : all.find((stat) => stat.type === 'candidate-pair' && stat.selected); // Firefox
    return report.get(pair?.localCandidateId);
  }

  /** The server's addresses from which a check was answered, each once. */
  function reached(report) {
    const pairs = [...report.values()].filter(({ type, state }) => type === 'candidate-pair' && state === 'succeeded');
    const remotes = pairs.map((pair) => report.get(pair.remoteCandidateId)).filter(Boolean);
    return [...new Set(remotes.map(({ protocol, address, port }) => `${protocol} ${address}:${port}`))];
  }

  window.RTCPeerConnection = class RTCPeerConnection extends Plain {
    #known = { iceServers: null, state: 'new', protocol: '', candidate: '', reached: [] };
    #timer;
    #tcpSince;

    constructor(configuration, ...others) {
      super(configuration, ...others);
      this.#known.iceServers = configuration?.iceServers?.flatMap(({ urls }) => urls) ?? null;
      known.push(this.#known);
      this.addEventListener('iceconnectionstatechange', () => this.#look());
      this.#timer = setInterval(() => this.#look(), 500);
    }

    async #look() {
      this.#known.state = this.iceConnectionState;
      try {
        const report = await this.getStats();
        const local = selected(report);
        this.#known.reached = reached(report);
        if (local && this.iceConnectionState !== 'closed') {
          this.#known.protocol = local.relayProtocol ?? local.protocol;
          this.#known.candidate = local.candidateType;
          this.#tcpSince = this.#known.protocol === 'tcp' ? (this.#tcpSince ?? performance.now()) : undefined;
        }
      } catch {
        // It was closed meanwhile.
      }
    }

    close() {
      clearInterval(this.#timer);
      this.#known.state = 'closed';
      if (performance.now() - this.#tcpSince < findsUDP) {
        this.#known.protocol = '';
      }
      super.close();
    }
  };

  /** transports gives what is known now. */
  window.transports = () => known;
})();

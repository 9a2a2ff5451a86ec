package main

import (
	"cmp"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"mediarooms.dev/mediarooms/loadtest"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

// secretVariable is where the secret of the REST API comes from, so that it is not seen in a list
// of processes.
const secretVariable = "OPENVIDU_SECRET"

// mediaPodName is the DNS name in the certificates of media pods.
const mediaPodName = "mediapod.mediarooms.internal"

// options are what the command line says.
type options struct {
	target   targetOptions
	load     loadtest.Load
	media    mediaOptions
	duration time.Duration
	limits   loadtest.Limits
	json     string
	quiet    bool
}

type targetOptions struct {
	url, secret, ca, prefix      string
	insecure                     bool
	tokens, signalling, identity string
}

type mediaOptions struct {
	codec                     string
	kbps, frameRate, temporal int
	simulcast, noVideo        bool
	sample                    int
	audioKbps                 int
	feedback                  time.Duration
	device                    string
	impairment                roomclient.Conditions
}

const usage = `roomload plays a load to a Mediarooms installation: rooms of participants that join as browsers do, send and
receive media, and leave. It prints how well they were served.

  OPENVIDU_SECRET=... roomload -url https://rooms.example -rooms 10 -publishers 2 -subscribers 8 -duration 1m
  roomload -tokens tokens.txt -subscribers 100 -max-delay-p99 6ms -min-join-success 1

With -url, sessions and connections are made by the REST API, and removed at the end. With -tokens, participants
use tokens that were made before, a line each; with -signalling, they go straight to a media pod with them.

The exit status is 0 when all limits were kept, 1 when one was not, and 2 when the load could not be played.

`

// groups are the flags as -help shows them.
func (o *options) groups() []group {
	return []group{
		{"Where to", o.target.add}, {"Who comes", o.addLoad}, {"What they send and receive", o.media.add},
		{"A worse network for some", o.addImpairment}, {"Limits", o.addLimits}, {"What is told", o.addOutput},
	}
}

type group struct {
	title string
	add   func(flags *flag.FlagSet)
}

func parse(args []string, output io.Writer) (*options, error) {
	o := &options{limits: loadtest.NoLimits()}
	flags := flag.NewFlagSet("roomload", flag.ContinueOnError)
	flags.SetOutput(output)
	for _, g := range o.groups() {
		g.add(flags)
	}
	flags.Usage = func() {
		fmt.Fprint(output, usage)
		for _, g := range new(options).groups() {
			fmt.Fprintf(output, "\n%s:\n", g.title)
			shown := flag.NewFlagSet("", flag.ContinueOnError)
			shown.SetOutput(output)
			g.add(shown)
			shown.PrintDefaults()
		}
	}
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	var err error
	if o.load.Stream, err = o.media.stream(); err != nil {
		return nil, err
	}
	return o, o.load.Validate()
}

func (o *options) addLoad(flags *flag.FlagSet) {
	l := &o.load
	flags.IntVar(&l.Rooms, "rooms", 1, "number of rooms")
	flags.IntVar(&l.Publishers, "publishers", 1, "participants of each room that send")
	flags.IntVar(&l.Subscribers, "subscribers", 1, "participants of each room that only receive; each receives all that send")
	flags.BoolVar(&l.Mutual, "mutual", false, "publishers receive each other too, as in a conference")
	flags.DurationVar(&l.Ramp, "ramp", 2*time.Second, "time over which participants join")
	flags.DurationVar(&l.Stay, "stay", 0, "how long a subscriber stays on average before another one takes its place; 0: to the end")
	flags.DurationVar(&l.Patience, "patience", 15*time.Second, "how long a participant may take to join")
	flags.DurationVar(&o.duration, "duration", 30*time.Second, "how long to measure once everybody has joined")
}

func (o *options) addImpairment(flags *flag.FlagSet) {
	c := &o.media.impairment
	flags.IntVar(&o.load.Impaired, "impaired", 0, "`number` of subscribers of each room for which the network is worse; they are told of apart")
	flags.Float64Var(&c.Loss, "loss", 0, "`share` of packets towards them that is lost, 0 to 1")
	flags.DurationVar(&c.Delay, "delay", 0, "what it takes longer, each way")
	flags.IntVar(&c.Kbps, "limit-kbps", 0, "what the link to each carries; 0: no limit")
	flags.DurationVar(&c.Queue, "queue", 300*time.Millisecond, "how long packets wait at most for that link")
}

func (o *options) addOutput(flags *flag.FlagSet) {
	flags.StringVar(&o.json, "json", "", "write the report as JSON to this `file` too; -: to the standard output")
	flags.BoolVar(&o.quiet, "quiet", false, "show no progress")
}

func (t *targetOptions) add(flags *flag.FlagSet) {
	flags.StringVar(&t.url, "url", "", "`URL` of the gateway; the REST API makes sessions and connections")
	flags.StringVar(&t.secret, "secret", "", "secret of the REST API; better in the environment, as "+secretVariable)
	flags.StringVar(&t.prefix, "prefix", "", "what the names of sessions begin with; roomload- and a random text by default")
	flags.StringVar(&t.ca, "ca", "", "`file` of certificates, beside those of the system, to trust")
	flags.BoolVar(&t.insecure, "insecure", false, "trust any certificate of the server")
	flags.StringVar(&t.tokens, "tokens", "", "`file` with a token a line, instead of -url; those of one session are for one room")
	flags.StringVar(&t.signalling, "signalling", "", "wss:// `URL` of a media pod, to use tokens at without a gateway")
	flags.StringVar(&t.identity, "identity", "", "`directory` with the certificate of a gateway (ca.crt, tls.crt, tls.key), for -signalling")
}

func (m *mediaOptions) add(flags *flag.FlagSet) {
	flags.StringVar(&m.codec, "codec", "vp8", "codec of the video: vp8 or h264")
	flags.IntVar(&m.kbps, "kbps", 1500, "bitrate of the video; with -simulcast, that of the highest layer")
	flags.IntVar(&m.frameRate, "fps", 30, "frames per second")
	flags.BoolVar(&m.simulcast, "simulcast", false, "send three layers: a quarter, a half, and all of the width and height")
	flags.IntVar(&m.temporal, "temporal-layers", 1, "temporal layers of VP8, 1 to 3")
	flags.BoolVar(&m.noVideo, "no-video", false, "send no video")
	flags.IntVar(&m.audioKbps, "audio-kbps", 32, "bitrate of the audio, 0 to 128; 0: send none")
	flags.DurationVar(&m.feedback, "feedback", 100*time.Millisecond, "how often receivers give transport-wide feedback; 0: neither that nor repairs")
	flags.IntVar(&m.sample, "sample", 7, "decrypt every `n`-th packet of a stream only while none is missing, to take less CPU; 1: all")
	flags.StringVar(&m.device, "interface", "", "the one network `interface` for media; all but loopback by default")
}

// addLimits adds flags without defaults: what is not given is not checked.
func (o *options) addLimits(flags *flag.FlagSet) {
	l := &o.limits
	number := func(to *float64, name, text string) {
		flags.Func(name, text, func(value string) (err error) {
			*to, err = strconv.ParseFloat(value, 64)
			return err
		})
	}
	duration := func(to *time.Duration, name, text string) {
		flags.Func(name, text, func(value string) (err error) {
			*to, err = time.ParseDuration(value)
			return err
		})
	}
	number(&l.MinJoinSuccess, "min-join-success", "least `share` of joins that succeed, 0 to 1")
	duration(&l.MaxJoinP50, "max-join-p50", "median `time` from opening a socket to the first frame")
	duration(&l.MaxJoinP99, "max-join-p99", "the same `time`, 99 %")
	number(&l.MaxLoss, "max-loss", "greatest `share` of packets that never come, 0 to 1")
	duration(&l.MaxDelayP50, "max-delay-p50", "median `time` that a packet takes, one way")
	duration(&l.MaxDelayP99, "max-delay-p99", "the same `time`, 99 %")
	duration(&l.MaxDelayP999, "max-delay-p999", "the same `time`, 99.9 %")
	duration(&l.MaxGap, "max-gap", "longest `time` between two frames")
	number(&l.MaxFreezes, "max-freezes", "greatest `number` of freezes")
	number(&l.MinMbps, "min-mbps", "least `bitrate` of all that is received")
}

// audioPackets are sent a second.
const audioPackets = 50

// stream is what a publisher sends.
func (m *mediaOptions) stream() (roomclient.Stream, error) {
	if m.audioKbps < 0 || m.audioKbps > 128 {
		return roomclient.Stream{}, fmt.Errorf("-audio-kbps: %d is not from 0 to 128", m.audioKbps)
	}
	stream := roomclient.Stream{AudioPacketBytes: m.audioKbps * 1000 / 8 / audioPackets}
	if m.noVideo {
		return stream, nil
	}
	switch {
	case m.codec != "vp8" && m.codec != "h264":
		return stream, fmt.Errorf("-codec: %q is neither vp8 nor h264", m.codec)
	case m.kbps < 50 || m.kbps > 20_000:
		return stream, fmt.Errorf("-kbps: %d is not from 50 to 20000", m.kbps)
	case m.temporal < 1 || m.temporal > 3 || m.temporal > 1 && m.codec != "vp8":
		return stream, errors.New("-temporal-layers: 1 to 3, and more than one of vp8 only")
	}
	stream.VideoFrameRate, stream.TemporalLayers = m.frameRate, m.temporal
	stream.Video = []roomclient.Layer{{Width: 1280, Height: 720, Kbps: m.kbps}}
	if m.simulcast {
		stream.Video = loadtest.Simulcast(m.kbps)
	}
	return stream, nil
}

// setup makes what the run needs.
func (o *options) setup() (loadtest.Setup, error) {
	setup := loadtest.Setup{Load: o.load}
	mediaOptions := roomclient.MediaOptions{Feedback: o.media.feedback, Device: o.media.device, Sample: o.media.sample}
	if o.media.codec == "h264" {
		mediaOptions.Video = append(mediaOptions.Video, roomclient.H264)
	}
	var err error
	if setup.Media, err = roomclient.NewMediaWith(mediaOptions); err != nil {
		return setup, err
	}
	if o.load.Impaired > 0 {
		if c := o.media.impairment; c.Loss < 0 || c.Loss > 1 || c.Delay < 0 || c.Kbps < 0 || c.Queue < 0 {
			return setup, errors.New("-loss is from 0 to 1, and -delay, -limit-kbps and -queue are not negative")
		}
		mediaOptions.Path = roomclient.NewPath(o.media.impairment)
		if setup.Impaired, err = roomclient.NewMediaWith(mediaOptions); err != nil {
			return setup, err
		}
	}
	setup.Target, err = o.target.open(&setup.Load)
	return setup, err
}

// open returns the target. With tokens, they say how many rooms there are at most.
func (t *targetOptions) open(load *loadtest.Load) (loadtest.Target, error) {
	client, err := t.client()
	if err != nil {
		return nil, err
	}
	switch {
	case (t.url == "") == (t.tokens == ""):
		return nil, errors.New("either -url or -tokens is needed; see roomload -help")
	case t.tokens != "":
		file, err := os.Open(t.tokens)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		tokens, err := loadtest.ReadTokens(file, t.signalling, client)
		if err != nil {
			return nil, err
		}
		load.Rooms = min(load.Rooms, tokens.Rooms())
		return tokens, nil
	case t.signalling != "":
		return nil, errors.New("-signalling needs -tokens")
	}
	secret := cmp.Or(t.secret, os.Getenv(secretVariable))
	if secret == "" {
		return nil, fmt.Errorf("the secret of the REST API is needed, in the environment as %s", secretVariable)
	}
	prefix := t.prefix
	if prefix == "" {
		random := make([]byte, 4)
		_, _ = rand.Read(random) // it never fails
		prefix = "roomload-" + hex.EncodeToString(random)
	}
	return loadtest.NewGateway(t.url, secret, prefix, client)
}

// client makes handshakes and requests.
func (t *targetOptions) client() (*http.Client, error) {
	config, err := t.tlsConfig()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config
	transport.ForceAttemptHTTP2 = false // sockets need HTTP/1.1
	transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	transport.MaxIdleConnsPerHost = 32
	return &http.Client{Transport: transport}, nil
}

// tlsConfig says whom the client trusts, and who it is.
func (t *targetOptions) tlsConfig() (*tls.Config, error) {
	switch {
	case t.identity != "":
		certificate, err := tls.LoadX509KeyPair(filepath.Join(t.identity, "tls.crt"), filepath.Join(t.identity, "tls.key"))
		if err != nil {
			return nil, fmt.Errorf("reading -identity: %w", err)
		}
		config := &tls.Config{
			MinVersion: tls.VersionTLS13, ServerName: mediaPodName,
			Certificates: []tls.Certificate{certificate}, RootCAs: x509.NewCertPool(),
		}
		return config, addRoots(config.RootCAs, filepath.Join(t.identity, "ca.crt"))
	case t.ca != "":
		roots, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("reading the system's certificates: %w", err)
		}
		return &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.insecure, RootCAs: roots}, addRoots(roots, t.ca)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.insecure}, nil
}

// addRoots adds the certificates of a file.
func addRoots(roots *x509.CertPool, file string) error {
	certificates, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading certificates: %w", err)
	}
	if !roots.AppendCertsFromPEM(certificates) {
		return fmt.Errorf("no certificate in %s", file)
	}
	return nil
}

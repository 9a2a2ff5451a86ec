package conformance

// transport is section 1.
var transport = []Section{
	{"1.1", "The token", []Item{
		{"1.1-whole-url", "joinRoom takes the whole token URL; other hosts, ports, paths and parameters in it do not matter"},
	}},
	{"1.2", "WebSocket", []Item{
		{"1.2-path", "/openvidu accepts sockets of any origin with any query; joinRoom authenticates"},
		{"1.2-frames", "messages are text; a binary one is ignored"},
		{"1.2-size", "a message may have 1 MiB; a larger one affects only its sender"},
	}},
	{"1.3", "Framing", []Item{
		{"1.3-response", "an answer has jsonrpc 2.0, the request's id and exactly one of result and error, no null members, no dest"},
		{"1.3-id", "ids are echoed unchanged: 0, numbers, numeric texts"},
		{"1.3-session-id", "after joinRoom each result carries the private sessionId; no other client ever sees it"},
		{"1.3-notification", "a notification has jsonrpc 2.0, method and params, no id and no sessionId"},
		{"1.3-malformed", "malformed input gets an error or ends its own socket, and has no other effect"},
	}},
	{"1.4", "Errors", []Item{
		{"1.4-suffix", "texts of coded errors end in \". Code: N\"; 40007 and -1 do not"},
		{"1.4-data", "errors of reconnectStream and of the filter listeners carry data \"{}\"; others carry none"},
	}},
	{"1.5", "Requests", []Item{
		{"1.5-order", "requests of a connection are answered in their order; ping does not wait"},
		{"1.5-unknown-method", "an unknown method is answered with -32601"},
		{"1.5-before-join", "before joinRoom, and after a refused one, everything but ping and connect is 803"},
		{"1.5-parameters", "a missing or wrong parameter is -1 and names the parameter and the method"},
		{"1.5-gone", "a client that is no longer a participant is answered at once"},
	}},
	{"1.6", "Ping", []Item{
		{"1.6-pong", "ping is answered with pong, on every socket, before joinRoom and after a refused one"},
		{"1.6-watchdog", "a client that stops pinging loses its socket after three intervals, with code 1000 and the reference's text"},
	}},
	{"1.7", "Lost sockets", []Item{
		{"1.7-window", "a client without a socket may resume for ten seconds, and for one after the close code 1001; then it is evicted with networkDisconnect"},
		{"1.7-silent", "a silent client is evicted about 25 s after its last ping"},
		{"1.7-buffer", "notifications of the window follow the answer to connect"},
	}},
	{"1.8", "Reconnection", []Item{
		{"1.8-connect", "connect with the private id takes over the connection, also while the old socket is open"},
		{"1.8-refused", "connect with an unknown, missing or evicted id is 40007 \"reconnection error\""},
		{"1.8-media", "media goes on without the socket"},
	}},
	{"1.9", "Close codes", []Item{
		{"1.9-1000", "the server closes with 1000: the watchdog's text, or none ten seconds after leave or eviction"},
		{"1.9-4102", "a client's 4102 after leaveRoom ends the socket and nothing else"},
		{"1.9-4104", "a client's 4104 before it reconnects starts the window"},
	}},
	{"1.10", "Crash of a master node", []Item{
		{"1.10-absent", "masterNodeCrashedNotification is never sent: there is no master node"},
	}},
	{"1.11", "Life", []Item{
		{"1.11-life", "joinRoom returns the media pod's life, by which a client that can't resume tells the loss of the pod from that of its own network"},
	}},
	{"1.12", "HTTP", []Item{
		{"1.12-absent", "tokens have no edition, so clients send no logs and load no scripts"},
	}},
}

// methods is section 2.
var methods = []Section{
	{"2.1", "joinRoom", []Item{
		{"2.1-joinRoom", "the result has each field that the client needs, in its type"},
		{"2.1-value", "value lists the present participants by join time, with streams only if they publish, without roles"},
		{"2.1-metadata", "client and server data are joined by %/%, or are alone, or empty"},
		{"2.1-ice-servers", "customIceServers are those of the Connection, else those of the pool"},
		{"2.1-errors", "202, 401 and 203 with the reference's texts"},
	}},
	{"2.2", "leaveRoom", []Item{
		{"2.2-leaveRoom", "the others get participantLeft before the answer; no unpublished, no evicted"},
	}},
	{"2.3", "publishVideo", []Item{
		{"2.3-publishVideo", "the answer has sdpAnswer, id and createdAt and comes before the notifications to the others"},
		{"2.3-errors", "401, 106, 800, 302 with the reference's texts"},
		{"2.3-rollback", "after a failed publish another one works"},
	}},
	{"2.4", "unpublishVideo", []Item{
		{"2.4-unpublishVideo", "the others are notified; publishing again gives another stream"},
		{"2.4-errors", "105 when nothing is published"},
	}},
	{"2.5", "prepareReceiveVideoFrom", []Item{
		{"2.5-prepareReceiveVideoFrom", "the answer is an offer with the advertised kinds"},
		{"2.5-errors", "102 and 105 with the reference's texts"},
	}},
	{"2.6", "receiveVideoFrom", []Item{
		{"2.6-receiveVideoFrom", "an answer to the offer is accepted, and media arrives"},
		{"2.6-errors", "an offer, no SDP at all, and a missing prepareReceiveVideoFrom get an error"},
	}},
	{"2.7", "unsubscribeFromVideo", []Item{
		{"2.7-unsubscribeFromVideo", "media stops; the result is {} without a subscription, too; subscribing again works"},
		{"2.7-errors", "102 for an unknown user"},
	}},
	{"2.8", "onIceCandidate", []Item{
		{"2.8-onIceCandidate", "candidates of both directions are accepted before, between and after the SDP requests, the empty one too"},
		{"2.8-errors", "missing members are -1; useless candidates are answered"},
	}},
	{"2.9", "sendMessage", []Item{
		{"2.9-sendMessage", "a signal reaches all, its sender included, or the named recipients, before the answer"},
		{"2.9-errors", "600 and 601 with the reference's texts; nothing is sent then"},
	}},
	{"2.10", "streamPropertyChanged", []Item{
		{"2.10-audioActive", "muting audio reaches the others and later joiners"},
		{"2.10-videoActive", "muting video reaches the others and later joiners"},
		{"2.10-videoDimensions", "new dimensions reach the others and later joiners"},
		{"2.10-tracks", "audioTrack and videoTrack are passed on"},
		{"2.10-errors", "105 when nothing is published; missing members are -1"},
	}},
	{"2.11", "forceDisconnect", []Item{
		{"2.11-forceDisconnect", "a moderator evicts: notifications to the rest, the answer, the notification to the target, in this order"},
		{"2.11-errors", "401 and 102 with the reference's texts"},
	}},
	{"2.12", "forceUnpublish", []Item{
		{"2.12-forceUnpublish", "a moderator ends a stream: the answer, then notifications to everybody"},
		{"2.12-errors", "401 and 105; an unknown stream is answered too"},
	}},
	{"2.13", "applyFilter", []Item{{"2.13-applyFilter", "401 as of a server without filters"}}},
	{"2.14", "removeFilter", []Item{{"2.14-removeFilter", "401 as of a server without filters"}}},
	{"2.15", "execFilterMethod", []Item{{"2.15-execFilterMethod", "401 as of a server without filters"}}},
	{"2.16", "Filter event listeners", []Item{
		{"2.16-addFilterEventListener", "401, as from a server without filters"},
		{"2.16-removeFilterEventListener", "401, as from a server without filters"},
	}},
	{"2.17", "Session of the JSON-RPC layer", []Item{
		{"2.17-connect", "resumes a connection"},
		{"2.17-ping", "is answered with pong"},
		{"2.17-closeSession", "leaves the room and is answered with bye"},
	}},
	{"2.18", "reconnectStream", []Item{
		{"2.18-publisher", "an offer: same stream id, new createdAt, no notification, subscriptions go on"},
		{"2.18-subscriber", "an answer to a new prepareReceiveVideoFrom"},
		{"2.18-forced", "an answer to the offer of forciblyReconnectSubscriber"},
		{"2.18-client-offers", "an sdpOffer of a client, as in the other mode, is refused with a reason"},
		{"2.18-errors", "105 for an unknown stream, with data \"{}\""},
	}},
	{"2.19", "videoData", []Item{{"2.19-videoData", "is answered"}}},
	{"2.20", "echo", []Item{{"2.20-echo", "is answered"}}},
	{"2.21", "Speech to text", []Item{
		{"2.21-subscribeToSpeechToText", "997, as from a server without it"},
		{"2.21-unsubscribeFromSpeechToText", "997, as from a server without it"},
	}},
	{"2.22", "sessionStatus", []Item{{"2.22-sessionStatus", "gives the life of the media pod, also before joining"}}},
	{"2.23", "Methods that do not exist", []Item{{"2.23-absent", "no method starts recordings, lists participants or makes tokens"}}},
}

// notifications is section 3.
var notifications = []Section{
	{"3", "Hidden participants", []Item{
		{"3-hidden", "RECORDER and SPEECH_TO_TEXT are never announced and receive all notifications"},
	}},
	{"3.1", "participantJoined", []Item{{"3.1-participantJoined", "id, createdAt and metadata, to those who are there, before the joiner's own answer"}}},
	{"3.2", "participantPublished", []Item{{"3.2-participantPublished", "the stream, to all others, once, and never when the join result listed it"}}},
	{"3.3", "participantUnpublished", []Item{{"3.3-participantUnpublished", "connectionId and reason, to whom the cause says"}}},
	{"3.4", "participantLeft", []Item{{"3.4-participantLeft", "connectionId and reason, to those who remain"}}},
	{"3.5", "participantEvicted", []Item{{"3.5-participantEvicted", "connectionId and reason, to the evicted one only"}}},
	{"3.6", "sendMessage", []Item{
		{"3.6-sendMessage", "data, type and from"},
		{"3.6-server", "from is absent in signals of the server, and their type gets its prefix"},
	}},
	{"3.7", "streamPropertyChanged", []Item{
		{"3.7-activity", "newValue of audioActive and videoActive is a text"},
		{"3.7-videoDimensions", "newValue of videoDimensions is encoded twice"},
		{"3.7-tracks", "newValue of audioTrack and videoTrack is a text with a JSON object"},
		{"3.7-recipients", "everybody but the owner, with the stream's current id"},
		{"3.7-filter", "is never sent with property filter: there are no filters"},
	}},
	{"3.8", "iceCandidate", []Item{{"3.8-iceCandidate", "candidates are in the SDP; only those of a later standby are sent, once the client is connected"}}},
	{"3.9", "filterEventDispatched", []Item{{"3.9-absent", "is never sent: there are no filters"}}},
	{"3.10", "forciblyReconnectSubscriber", []Item{
		{"3.10-forciblyReconnectSubscriber", "connectionId, streamId and an offer with candidates, to a subscriber whose offer is outdated"},
	}},
	{"3.11", "Recordings", []Item{
		{"3.11-recordingStarted", "id and name, to the roles that the pool names"},
		{"3.11-recordingStopped", "id, name and reason, to the roles that the pool names"},
	}},
	{"3.12", "Broadcasts", []Item{
		{"3.12-broadcastStarted", "is not sent while there are no broadcasts"},
		{"3.12-broadcastStopped", "is not sent while there are no broadcasts"},
	}},
	{"3.13", "mediaError", []Item{{"3.13-absent", "is not sent: there is no pipeline that could fail by itself"}}},
	{"3.14", "Others", []Item{
		{"3.14-connectionPropertyChanged", "property and newValue, to the connection whose role or record changed"},
		{"3.14-networkQualityLevelChanged", "connectionId, newValue and oldValue, to all, if the pool enables it"},
		{"3.14-speechToTextMessage", "is not sent while there is no speech to text"},
		{"3.14-speechToTextDisconnected", "is not sent while there is no speech to text"},
		{"3.14-masterNodeCrashedNotification", "is never sent"},
	}},
	{"3.15", "Order", []Item{
		{"3.15-1", "the answer to joinRoom comes before any notification"},
		{"3.15-2", "participantJoined comes before participantPublished of the same connection"},
		{"3.15-3", "participantPublished comes before anything about that stream"},
		{"3.15-4", "participantLeft comes without participantUnpublished before it"},
		{"3.15-5", "an offer comes before its candidates"},
	}},
}

package openvidu

import (
	"testing"

	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

func TestAnAddressThatManyShareKeepsNobodyOut(t *testing.T) {
	limits := signalling.DefaultLimits()
	limits.Address.Joins = scarce(1)
	p := newPod(t, limits, "A", "B", "C", "D")
	shared := []string{podhttp.HeaderAddress, "10.0.0.1", podhttp.HeaderSharedAddress, "true"}
	p.dial(shared...).joinAs("A")
	p.dial(shared...).joinAs("B")
	// What the gateway says of one is not true for another.
	p.dial(podhttp.HeaderAddress, "192.0.2.2").joinAs("C")
	over := p.dial(podhttp.HeaderAddress, "192.0.2.2").refused("joinRoom", joinParams("wss://host:4443?sessionId=team.room&token=tok_D", "team.room"))
	if over.Code != 999 {
		t.Errorf("the second of an address: got %d %s", over.Code, over.Message)
	}
}

package route

import (
	"testing"
	"time"
)

func TestPlan(t *testing.T) {
	hosted := Room{Known: true, Address: "10.0.0.1:7444", Programmed: true}
	placed := Room{Known: true, Address: "10.0.0.1:7444"}
	homeless := Room{Known: true}
	unknown := Room{}
	h := usualHolds
	for name, test := range map[string]struct {
		room      Room
		reconnect bool
		waited    time.Duration
		want      step
	}{
		"a hosted room is reached at once":                                   {room: hosted, want: step{action: actionOwn}},
		"a hosted room is reached at once by a reconnection":                 {room: hosted, reconnect: true, want: step{action: actionOwn}},
		"a room that its pod was not told of yet is waited for":              {room: placed, want: step{action: actionWait, until: h.programmed}},
		"a reconnection waits for a room that its new pod was not told of":   {room: placed, reconnect: true, want: step{action: actionWait, until: h.pod}},
		"it is not let to a pod that would refuse it":                        {room: placed, reconnect: true, waited: h.pod, want: step{action: actionRefuse}},
		"a pod that was not told in time answers itself":                     {room: placed, waited: h.programmed, want: step{action: actionOwn}},
		"a first connection waits for a pod":                                 {room: homeless, want: step{action: actionWait, until: h.pod}},
		"a first connection still waits for a pod":                           {room: homeless, waited: h.pod - 1, want: step{action: actionWait, until: h.pod}},
		"a first connection that has waited long enough hears that it waits": {room: homeless, waited: h.pod, want: step{action: actionWaiting}},
		"a reconnection waits for a pod":                                     {room: homeless, reconnect: true, waited: h.pod - 1, want: step{action: actionWait, until: h.pod}},
		"a reconnection that has waited long enough comes again":             {room: homeless, reconnect: true, waited: h.pod, want: step{action: actionRefuse}},
		"an unknown room may just have been made":                            {room: unknown, want: step{action: actionWait, until: h.unknown}},
		"an unknown room is answered by any pod":                             {room: unknown, waited: h.unknown, want: step{action: actionAny}},
		"a reconnection to an unknown room is answered by any pod at once":   {room: unknown, reconnect: true, want: step{action: actionAny}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := h.plan(test.room, test.reconnect, test.waited); got != test.want {
				t.Errorf("plan = %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestPlanUnreachable(t *testing.T) {
	h := usualHolds
	for name, test := range map[string]struct {
		reconnect bool
		waited    time.Duration
		want      step
	}{
		"a reconnection tries again a bit later":     {reconnect: true, waited: time.Second, want: step{action: actionWait, until: time.Second + h.retry}},
		"then it is refused, and comes again":        {reconnect: true, waited: h.pod, want: step{action: actionRefuse}},
		"a first connection tries again a bit later": {waited: time.Second, want: step{action: actionWait, until: time.Second + h.retry}},
		"the last try is at the end of the hold":     {waited: h.pod - 1, want: step{action: actionWait, until: h.pod}},
		"then it hears that it waits":                {waited: h.pod, want: step{action: actionWaiting}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := h.planUnreachable(test.reconnect, test.waited); got != test.want {
				t.Errorf("planUnreachable = %+v, want %+v", got, test.want)
			}
		})
	}
}

package lease

import (
	"testing"
	"time"
)

func at(milliseconds int) time.Time {
	return epoch.Add(time.Duration(milliseconds) * time.Millisecond)
}

// acknowledged is a link whose Beats 1 to n were sent every 100 ms from 0 on, and acknowledged and
// read after 10 ms each.
func acknowledged(t *testing.T, n int) (*Beats, *Acks) {
	t.Helper()
	beats, acks := &Beats{}, &Acks{}
	for i := range n {
		number, send := beats.Beat(at(100 * i))
		if !send || !acks.Heard(number, at(100*i+5)) || !beats.Acknowledge(number, at(100*i+10)) {
			t.Fatalf("Beat %d is not acknowledged", i+1)
		}
	}
	return beats, acks
}

func TestTheLeaseRunsFromWhenTheBeatWasSent(t *testing.T) {
	beats, _ := acknowledged(t, 1)
	var room Primary
	if !room.May(at(0)) || !room.Follow(beats, at(50)) || room.Follow(beats, at(50)) {
		t.Fatal("a room is followed once")
	}
	number, _ := beats.Beat(at(100))
	if _, send := beats.Beat(at(200)); send {
		t.Error("a Beat is sent while the one before is not acknowledged")
	}
	if beats.Acknowledge(number+1, at(300)) || !beats.Acknowledge(number, at(300)) {
		t.Error("another Ack than the one that is waited for counts")
	}
	if until, limited := room.Until(); !limited || !until.Equal(at(700)) {
		t.Errorf("the lease ends at %v", until.Sub(epoch))
	}
	if !room.May(at(699)) || room.May(at(700)) || room.State(at(700)) != Lapsed {
		t.Error("the lease does not end in time")
	}
	number, _ = beats.Beat(at(750))
	if !beats.Acknowledge(number, at(760)) || room.State(at(761)) != Leased {
		t.Error("an Ack does not renew what has lapsed")
	}
}

func TestARoomIsReadyWithTheFirstAckAfterComplete(t *testing.T) {
	_, acks := acknowledged(t, 2)
	var room Standby
	room.Complete(acks)
	if due, _ := room.Due(at(905)); due || acks.cause != None {
		t.Error("a room is due without an Ack")
	}
	acks.Heard(3, at(205))
	if deadline, some := acks.Deadline(); !some || !deadline.Equal(at(1005)) {
		t.Errorf("the deadline is %v", deadline.Sub(epoch))
	}
	if due, _ := room.Due(at(1004)); due {
		t.Error("a room is due before the deadline")
	}
	if due, cause := room.Due(at(1005)); !due || cause != Silent || room.May() {
		t.Errorf("%v, %v at the deadline", due, cause)
	}
	if acks.Heard(4, at(1010)) {
		t.Error("a Beat is acknowledged after the claim")
	}
	if due, _ := room.Due(at(105 + 1250 - 150)); due {
		t.Error("the standby nominates itself too late")
	}
	if other := room; other.Moved(at(105 + 1250)) {
		t.Error("a client counts that came too late")
	}
	if acks.Over(at(1354)) || !acks.Over(at(1355)) {
		t.Error("the link is not over with its window")
	}
	if !room.Moved(at(1354)) || !room.May() || room.Leave() {
		t.Error("the standby is not the owner when a client has come")
	}
}

func TestADeadPrimaryIsFollowedAtOnce(t *testing.T) {
	_, acks := acknowledged(t, 2)
	var room, left, fresh Standby
	room = Standby{link: acks, from: 1}
	left = room
	if !left.Leave() {
		t.Error("a room can't be left")
	}
	fresh.Complete(acks)
	acks.Refused(at(110))
	if due, _ := room.Due(at(110)); due {
		t.Error("a refusal counts while the stream stands")
	}
	acks.End()
	acks.Refused(at(120))
	if due, cause := room.Due(at(120)); !due || cause != Dead || !room.May() {
		t.Errorf("%v, %v after the refusal", due, cause)
	}
	for _, other := range []*Standby{&left, &fresh} {
		if due, _ := other.Due(at(120)); due || other.May() {
			t.Error("a room is taken over that was left, or never acknowledged")
		}
	}
}

func TestAPrimaryGoesOnAloneByTheWordOfItsClients(t *testing.T) {
	beats, _ := acknowledged(t, 2)
	var room Primary
	room.Follow(beats, at(50))
	beats.End()
	from := 110 + 1400
	for now := 700; now <= from; now += 20 {
		if state, _ := room.Witness(at(now), at(now)); state != Lapsed {
			t.Fatalf("%v after %d ms", state, now)
		}
	}
	alone, lost, frozen := room, room, room
	if state, skip := alone.Witness(at(from+5), at(from+10)); state != Alone || skip != 8192 {
		t.Errorf("%v, %d when the client is here", state, skip)
	}
	for now := from + 10; lost.State(at(now)) != Lost; now += 20 {
		if state, _ := lost.Witness(at(from), at(now)); (state == Lost) != (now >= from+600) {
			t.Fatalf("%v after %d ms", state, now)
		}
	}
	if state, _ := frozen.Witness(at(from+990), at(from+1000)); state != Lapsed {
		t.Errorf("%v by a packet that may have waited while the primary was frozen", state)
	}
}

// A primary that is slow all the time decides nevertheless, and asks for later packets.
func TestASlowPrimaryListensForLonger(t *testing.T) {
	const from = 110 + 1400
	for interval, later := range map[int]int{25: 0, 50: 0, 100: 100, 300: 300} {
		beats, _ := acknowledged(t, 2)
		var room Primary
		room.Follow(beats, at(50))
		beats.End()
		now := 700
		for room.Witness(at(now+1), at(now)); room.State(at(now)) == Lapsed; room.Witness(at(now+1), at(now)) {
			now += interval
		}
		if first := from + later; room.State(at(now)) != Alone || now < first || now > first+interval {
			t.Errorf("looking every %d ms, the room is %v after %d ms", interval, room.State(at(now)), now)
		}
	}
}

func TestARoomIsAloneOnceItsStandbyCannotTakeOver(t *testing.T) {
	follow := func() (*Beats, *Primary) {
		beats, _ := acknowledged(t, 2)
		room := &Primary{}
		room.Follow(beats, at(50))
		beats.End()
		return beats, room
	}
	_, left := follow()
	if left.Leave(); left.State(at(5000)) != Alone {
		t.Error("the standby has left, and the room is not alone")
	}
	_, refused := follow()
	if refused.Refused(at(699)); refused.State(at(5000)) != Alone {
		t.Error("the standby is dead, and the room is not alone")
	}
	_, late := follow()
	if late.Refused(at(700)); late.State(at(5000)) != Lapsed {
		t.Error("the room is alone, and the standby may have used it before it died")
	}
	_, given := follow()
	if !given.HandOver() || given.HandOver() {
		t.Error("a room is not handed over once")
	}
	if given.Leave(); given.State(at(120)) != Lost || given.May(at(120)) {
		t.Error("a room that was handed over is not lost")
	}
	if alone := new(Primary); alone.HandOver() {
		t.Error("a room is handed over to nobody")
	}
}

func TestARoomThatIsHandedOverHasAnOwner(t *testing.T) {
	_, acks := acknowledged(t, 1)
	var room, left Standby
	room.Complete(acks)
	left.Complete(acks)
	left.Leave()
	if left.HandedOver() || !room.HandedOver() || !room.May() {
		t.Error("the standby is not the owner of what it was given")
	}
	if due, cause := room.Due(at(20)); !due || cause != Handed {
		t.Errorf("%v, %v", due, cause)
	}
}

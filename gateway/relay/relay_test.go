package relay

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// received is a frame that came to an end of the relay.
type received struct {
	opcode  byte
	final   bool
	payload string
}

func (r received) String() string { return fmt.Sprintf("%x %t %.100q", r.opcode, r.final, r.payload) }

// end is the far end of a connection of the relay: a client, or a media pod.
type end struct {
	t    *testing.T
	conn net.Conn
	mask bool

	mu     sync.Mutex // guards what follows
	frames []received
	over   error // why no more comes
}

// newEnd returns an end that reads all the time, and the relay's end of the connection.
func newEnd(t *testing.T, mask bool) (*end, net.Conn) {
	near, far := net.Pipe()
	e := &end{t: t, conn: far, mask: mask}
	go func() {
		reader := bufio.NewReader(far)
		for {
			f, err := peekFrame(reader)
			whole := make([]byte, uint64(f.size)+f.payload)
			if err == nil {
				_, err = io.ReadFull(reader, whole)
			}
			e.mu.Lock()
			if err != nil {
				e.over = err
				e.mu.Unlock()
				return
			}
			e.frames = append(e.frames, received{f.opcode, f.final, string(f.unmasked(whole))})
			e.mu.Unlock()
		}
	}()
	return e, near
}

// frame makes a frame as this end sends it.
func (e *end) frame(opcode byte, final bool, payload string) []byte {
	var b bytes.Buffer
	b.WriteByte(opcode)
	if final {
		b.Bytes()[0] |= finalBit
	}
	length := byte(0)
	if e.mask {
		length = maskBit
	}
	switch n := len(payload); {
	case n < 126:
		b.WriteByte(length | byte(n))
	case n < 1<<16:
		b.WriteByte(length | 126)
		_ = binary.Write(&b, binary.BigEndian, uint16(n))
	default:
		b.WriteByte(length | 127)
		_ = binary.Write(&b, binary.BigEndian, uint64(n))
	}
	mask := [4]byte{}
	if e.mask {
		mask = [4]byte{1, 2, 3, 4}
		b.Write(mask[:])
	}
	for i := range len(payload) {
		b.WriteByte(payload[i] ^ mask[i%4])
	}
	return b.Bytes()
}

func (e *end) send(opcode byte, payload string) { e.write(e.frame(opcode, true, payload)) }

// sendAll sends so many messages at once.
func (e *end) sendAll(count int, message func(id int) string) {
	var all []byte
	for id := range count {
		all = append(all, e.frame(opText, true, message(id))...)
	}
	e.write(all)
}

func (e *end) write(data []byte) {
	if _, err := e.conn.Write(data); err != nil {
		e.t.Errorf("writing: %v", err)
	}
	synctest.Wait()
}

// got returns the frames that came since it was last called.
func (e *end) got() []received {
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	frames := e.frames
	e.frames = nil
	return frames
}

func (e *end) expect(want ...received) {
	e.t.Helper()
	if got := e.got(); !slices.Equal(got, want) {
		e.t.Errorf("got  %v\nwant %v", got, want)
	}
}

// isOver reports whether the connection has ended.
func (e *end) isOver() bool {
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.over != nil
}

func text(payload string) received  { return received{opText, true, payload} }
func again(payload string) received { return received{opBinary, true, payload} }
func request(id int) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"m","params":{"id":0},"id":%d}`, id)
}
func response(id int) string            { return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{"id":0}}`, id) }
func closing(code int, s string) string { return string([]byte{byte(code >> 8), byte(code)}) + s }

// scene is a relay between a client and media pods.
type scene struct {
	t      *testing.T
	client *end
	pod    *end   // the first one
	first  string // the resumption by its handshake
	next   chan io.ReadWriteCloser
	told   chan string // resumptions that the next media pod was looked for by
	moved  atomic.Bool
	ended  chan error
	cancel context.CancelFunc
}

// play runs a scene with its own clock.
func play(t *testing.T, act func(*scene)) {
	t.Helper()
	playFrom(t, "", act)
}

// playFrom runs a scene whose first media pod has told a resumption by its handshake.
func playFrom(t *testing.T, resumption string, act func(*scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &scene{t: t, next: make(chan io.ReadWriteCloser, 1), told: make(chan string, 10), ended: make(chan error, 1), cancel: cancel, first: resumption}
		client, clientConn := newEnd(t, true)
		pod, podConn := newEnd(t, false)
		s.client, s.pod = client, pod
		go func() {
			s.ended <- Run(ctx, Config{
				Client: clientConn, FromClient: bufio.NewReader(clientConn), Pod: podConn, Resumption: s.first, Moved: func() bool { return s.moved.Load() },
				Attach: func(ctx context.Context, resumption string) (io.ReadWriteCloser, error) {
					s.told <- resumption
					select {
					case pod := <-s.next:
						if pod == nil {
							return nil, errors.New("none")
						}
						return pod, nil
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				},
			})
		}()
		act(s)
		cancel()
		_ = client.conn.Close()
		_ = pod.conn.Close()
		synctest.Wait()
	})
}

// tell has a media pod say how to resume the client.
func (s *scene) tell() {
	s.pod.send(opBinary, "secret")
	s.client.expect()
}

// attach lets the next media pod be found, and returns it.
func (s *scene) attach() *end {
	s.t.Helper()
	pod, told := s.attachAs()
	if told != "secret" {
		s.t.Errorf("the next media pod is looked for by %q", told)
	}
	return pod
}

// attachAs is attach, and returns the resumption by which the media pod is looked for.
func (s *scene) attachAs() (pod *end, told string) {
	time.Sleep(pause)
	told = <-s.told
	pod, conn := newEnd(s.t, false)
	s.t.Cleanup(func() { _ = pod.conn.Close() })
	s.next <- conn
	synctest.Wait()
	return pod, told
}

// over expects that the relay has ended, the client's socket without a word.
func (s *scene) over() {
	s.t.Helper()
	synctest.Wait()
	if len(s.ended) == 0 {
		s.t.Error("the relay goes on")
	}
	if !s.client.isOver() {
		s.t.Error("the client's connection is open")
	}
	s.client.expect()
}

func TestFramesPassUnchanged(t *testing.T) {
	play(t, func(s *scene) {
		for _, way := range []struct{ from, to *end }{{s.client, s.pod}, {s.pod, s.client}} {
			large := strings.Repeat("0123456789", 30000)
			way.from.send(opText, large)
			way.from.send(opPing, "are you there")
			way.from.send(opPong, "I am")
			way.from.write(way.from.frame(opText, false, "begin"))
			way.from.send(opPing, "between")
			way.from.write(way.from.frame(0, false, ""))
			way.from.write(way.from.frame(0, true, "end"))
			way.from.send(opText, "")
			got := way.to.got()
			if len(got) != 8 || got[0] != text(large) || got[7] != text("") {
				t.Fatalf("got %d frames: %v", len(got), got)
			}
			slices.SortStableFunc(got[3:7], func(a, b received) int { return int(b.opcode) - int(a.opcode) }) // the ping may pass fragments
			want := []received{{opPing, true, "are you there"}, {opPong, true, "I am"}, {opPing, true, "between"}, {opText, false, "begin"}, {0, false, ""}, {0, true, "end"}}
			if !slices.Equal(got[1:7], want) {
				t.Errorf("got  %v\nwant %v", got[1:7], want)
			}
		}
	})
}

// A media pod takes binary messages for what the relay repeats: those of a client do not pass.
func TestBinaryMessagesOfClientsDoNotPass(t *testing.T) {
	play(t, func(s *scene) {
		s.tell()
		binary := func() {
			s.client.send(opBinary, request(1))
			s.client.write(s.client.frame(opBinary, false, request(2)[:9]))
			s.client.write(s.client.frame(0, true, request(2)[9:]))
		}
		binary()
		s.client.send(opText, request(3))
		s.pod.expect(text(request(3)))
		half := s.client.frame(opBinary, true, request(4))
		s.client.write(half[:20])
		_ = s.pod.conn.Close()
		s.client.write(half[20:])
		binary()
		s.client.send(opText, request(5))
		next := s.attach()
		next.expect(again(request(3)), text(request(5)))
		binary()
		s.client.send(opText, request(6))
		next.expect(text(request(6)))
	})
}

func TestCloseFramesPass(t *testing.T) {
	for _, code := range []int{1000, 1001, 1008, 1013, 4104} {
		play(t, func(s *scene) {
			s.tell()
			s.client.send(opClose, closing(code, "bye"))
			s.pod.expect(received{opClose, true, closing(code, "bye")})
			s.pod.send(opClose, closing(code, "bye"))
			s.client.expect(received{opClose, true, closing(code, "bye")})
			_ = s.pod.conn.Close()
			s.over()
		})
		play(t, func(s *scene) {
			s.tell()
			s.pod.send(opClose, closing(code, "go"))
			s.client.expect(received{opClose, true, closing(code, "go")})
			s.client.send(opClose, closing(code, "go"))
			s.pod.expect(received{opClose, true, closing(code, "go")})
			_ = s.pod.conn.Close()
			s.over()
		})
	}
	play(t, func(s *scene) {
		s.pod.send(opClose, closing(codeServiceRestart, "")) // and it has told no resumption
		s.client.expect(received{opClose, true, closing(codeServiceRestart, "")})
	})
}

// A media pod knows from the gateway that a client has gone, and takes everything else for the loss
// of the gateway.
func TestAMediaPodIsToldThatTheClientHasGone(t *testing.T) {
	for name, c := range map[string]struct {
		act  func(*scene)
		want []received
	}{
		"its connection ends":  {func(s *scene) { _ = s.client.conn.Close() }, []received{again("gone")}},
		"it closes its socket": {func(s *scene) { s.client.send(opClose, closing(1001, "")); _ = s.client.conn.Close() }, []received{{opClose, true, closing(1001, "")}}},
		"in the middle": {func(s *scene) {
			s.client.write(s.client.frame(opText, true, "incomplete")[:9])
			_ = s.client.conn.Close()
		}, nil},
		"between two fragments": {func(s *scene) { s.client.write(s.client.frame(opText, false, "begin")); _ = s.client.conn.Close() }, []received{{opText, false, "begin"}, again("gone")}},
		"the gateway stops":     {func(s *scene) { s.cancel() }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				c.act(s)
				s.pod.expect(c.want...)
				if !s.pod.isOver() {
					t.Error("the media pod's connection is open")
				}
			})
		})
	}
}

func TestTheNextMediaPodGoesOn(t *testing.T) {
	for name, lose := range map[string]func(*scene){
		"killed": func(s *scene) { _ = s.pod.conn.Close() },
		"let go": func(s *scene) { s.pod.send(opClose, closing(codeServiceRestart, "moved")) },
		"in the midst of a message": func(s *scene) {
			half := s.pod.frame(opText, true, response(2))
			s.pod.write(half[:len(half)-5])
			_ = s.pod.conn.Close()
		},
		"in the midst of fragments": func(s *scene) {
			s.pod.write(s.pod.frame(opText, false, `{"jsonrpc":"2.0","id":2`))
			_ = s.pod.conn.Close()
		},
		"in the midst of a message to the gateway": func(s *scene) {
			s.pod.write(s.pod.frame(opBinary, false, "other"))
			_ = s.pod.conn.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.client.send(opText, request(1))
				s.pod.send(opText, response(1))
				s.client.expect(text(response(1)))
				s.tell()
				for id := 2; id <= 4; id++ {
					s.client.send(opText, request(id))
				}
				s.client.send(opText, `{"method":"without an id"}`)
				s.pod.send(opText, response(3))
				s.client.expect(text(response(3)))
				five := s.client.frame(opText, true, request(5))
				s.client.write(five[:20])
				lose(s)
				s.client.expect()
				s.client.write(five[20:])
				s.client.send(opText, request(6))
				s.client.send(opText, `{"method":"without an id"}`)
				s.client.send(opPing, "hello")
				seven := s.client.frame(opText, true, request(7))
				s.client.write(seven[:20])

				next := s.attach()
				next.expect(again(request(2)), again(request(4)), text(request(5)), text(request(6)), text(`{"method":"without an id"}`), received{opPing, true, "hello"})
				s.client.write(seven[20:])
				next.expect(text(request(7)))
				for _, id := range []int{2, 4, 5, 6, 7} {
					next.send(opText, response(id))
				}
				next.send(opText, "hello")
				s.client.expect(text(response(2)), text(response(4)), text(response(5)), text(response(6)), text(response(7)), text("hello"))

				s.client.send(opText, request(8))
				_ = next.conn.Close() // this one is lost, too
				third := s.attach()
				third.expect(again(request(8)))
			})
		})
	}
}

// A client that has not joined yet is carried to the next media pod as one that comes anew, and
// what it asks for is repeated. It is joined from when it has the answer.
func TestAClientThatHasNotJoinedGoesOn(t *testing.T) {
	for name, test := range map[string]struct {
		told, want string
		answered   bool
	}{
		"not told":     {"", "new", false},
		"not answered": {"secret 2", "new", false},
		"answered":     {"secret 2", "secret", true},
		"of a request with an id that is too long": {"secret " + strings.Repeat("2", maxID+1), "secret", false},
	} {
		t.Run(name, func(t *testing.T) {
			playFrom(t, "new", func(s *scene) {
				s.client.send(opText, request(1))
				s.pod.send(opText, response(1))
				s.client.expect(text(response(1)))
				s.client.send(opText, request(2))
				if test.told != "" {
					s.pod.send(opBinary, test.told)
				}
				if test.answered {
					s.pod.send(opText, response(2))
					s.client.expect(text(response(2)))
				}
				_ = s.pod.conn.Close()
				next, got := s.attachAs()
				if got != test.want {
					t.Errorf("the next media pod is looked for by %q", got)
				}
				if test.answered {
					next.expect()
					return
				}
				next.expect(again(request(2)))
				next.send(opText, response(2))
				s.client.expect(text(response(2)))
			})
		})
	}
}

func TestAMediaPodThatDoesNotAnswerIsLeftWhenTheRoomIsElsewhere(t *testing.T) {
	play(t, func(s *scene) {
		s.tell()
		time.Sleep(time.Hour)
		s.client.send(opText, request(1))
		time.Sleep(10 * doubtAfter)
		synctest.Wait()
		if len(s.told) != 0 {
			t.Error("it is left although the room is there")
		}
		s.moved.Store(true)
		time.Sleep(doubtAfter + time.Millisecond)
		next := s.attach()
		next.expect(again(request(1)))
	})
}

func TestPongsAreOfTheMediaPodThatHasAsked(t *testing.T) {
	play(t, func(s *scene) {
		s.tell()
		s.pod.send(opPing, "1")
		s.client.expect(received{opPing, true, "1"})
		_ = s.pod.conn.Close()
		next := s.attach()
		next.send(opPing, "1")
		asked := s.client.got()
		s.client.send(opPong, "1")
		s.client.send(opPong, "")
		next.expect()
		s.client.send(opPong, asked[0].payload)
		next.expect(received{opPong, true, "1"})
	})
}

// A client that must notice loses its socket without a close frame, and nothing else.
func TestAClientThatHasToNotice(t *testing.T) {
	large := `{"method":"` + strings.Repeat("x", maxMessage) + `","id":1}`
	for name, act := range map[string]func(*scene){
		"nothing to resume by": func(s *scene) { _ = s.pod.conn.Close() },
		"no media pod goes on": func(s *scene) {
			s.tell()
			_ = s.pod.conn.Close()
			time.Sleep(pause)
			s.next <- nil
		},
		"it has a part of a large message": func(s *scene) {
			s.tell()
			whole := s.pod.frame(opText, true, large)
			s.pod.write(whole[:len(whole)-1])
			_ = s.pod.conn.Close()
		},
		"a request too large to repeat is not answered": func(s *scene) {
			s.tell()
			s.client.send(opText, large)
			_ = s.pod.conn.Close()
		},
		"a message too large to repeat is coming": func(s *scene) {
			s.tell()
			whole := s.client.frame(opText, true, large)
			s.client.write(whole[:len(whole)-1])
			_ = s.pod.conn.Close()
		},
		"too many requests are not answered": func(s *scene) {
			s.tell()
			s.client.sendAll(maxKept+1, request)
			_ = s.pod.conn.Close()
		},
		"far too many requests are not answered": func(s *scene) {
			s.tell()
			s.client.sendAll(maxOutstanding+1, request)
			s.pod.sendAll(maxOutstanding+1, response)
			s.client.got()
			_ = s.pod.conn.Close()
		},
		"the media pod tells too much": func(s *scene) { s.pod.send(opBinary, strings.Repeat("x", maxTold+1)) },
		"it has gone":                  func(s *scene) { _ = s.client.conn.Close() },
		"it goes while it is held": func(s *scene) {
			s.tell()
			_ = s.pod.conn.Close()
			_ = s.client.conn.Close()
		},
		"it closes while it is held": func(s *scene) {
			s.tell()
			_ = s.pod.conn.Close()
			s.client.send(opClose, closing(4104, ""))
		},
		"the gateway stops": func(s *scene) { s.cancel() },
		"the gateway stops while it is held": func(s *scene) {
			s.tell()
			_ = s.pod.conn.Close()
			s.cancel()
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				act(s)
				synctest.Wait()
				_ = s.client.isOver()
				s.client.mu.Lock()
				if name == "it has a part of a large message" {
					s.client.frames = nil
				}
				s.client.mu.Unlock()
				s.over()
			})
		})
	}
}

// What is too large to repeat does no harm once it is answered.
func TestWhatIsAnsweredIsNotRepeated(t *testing.T) {
	play(t, func(s *scene) {
		s.tell()
		s.client.send(opText, `{"method":"`+strings.Repeat("x", maxMessage)+`","id":9999}`)
		s.pod.send(opText, response(9999))
		s.client.sendAll(2*maxKept, request)
		s.pod.sendAll(2*maxKept, response)
		s.client.got()
		s.client.send(opText, request(10000))
		_ = s.pod.conn.Close()
		s.attach().expect(again(request(10000)))
	})
}

// Of a client without a media pod no more is read than may be kept.
func TestAClientThatIsHeldIsReadWithinBounds(t *testing.T) {
	for name, test := range map[string]struct{ count, size int }{"large": {3, 4 * maxMessage}, "many": {20, maxMessage / 2}, "small": {4 * maxKept, 0}} {
		t.Run(name, func(t *testing.T) {
			message, count := `{"method":"`+strings.Repeat("x", test.size)+`","id":1}`, test.count
			play(t, func(s *scene) {
				s.tell()
				_ = s.pod.conn.Close()
				synctest.Wait()
				sent := make(chan int, count)
				go func() {
					for i := range count {
						if _, err := s.client.conn.Write(s.client.frame(opText, true, message)); err != nil {
							return
						}
						sent <- i
					}
					close(sent)
				}()
				time.Sleep(time.Second)
				synctest.Wait()
				if n := len(sent); n > 3*maxKept || n*len(message) > maxKeptBytes { // some small ones wait in a buffer
					t.Errorf("%d messages of %d bytes are read", n, len(message))
				}
				next := s.attach()
				time.Sleep(time.Second)
				got := next.got()
				if len(got) != count || slices.ContainsFunc(got, func(f received) bool { return f != text(message) }) {
					t.Errorf("%d messages come", len(got))
				}
			})
		})
	}
}

// Media pods that come and go do not make the gateway look for them all the time.
func TestThereIsAPauseBetweenMediaPods(t *testing.T) {
	play(t, func(s *scene) {
		s.tell()
		begun := time.Now()
		_ = s.pod.conn.Close()
		for range 10 {
			<-s.told
			pod, conn := newEnd(t, false)
			_ = pod.conn.Close()
			s.next <- conn
		}
		if took := time.Since(begun); took < 9*pause {
			t.Errorf("ten media pods within %v", took)
		}
	})
}

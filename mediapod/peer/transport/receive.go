package transport

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// receiver takes packets, and must not keep them.
type receiver func(packet []byte, from netip.AddrPort)

// serve reads until the socket is closed. The goroutine that reads also handles what it has read.
//
// All is done in one wait of the runtime's poller: the kernel says by a batch that is not full that
// nothing is left, and the poller remembers what comes after that, so that no call is made in vain.
func (s *UDPSocket) serve(take receiver) error {
	arrivals, err := s.arrivals.SyscallConn()
	if err != nil {
		return fmt.Errorf("reading media: %w", err)
	}
	b := newBatch()
	var left time.Time // when nothing was left last
	for pause := time.Millisecond; ; {
		closed := arrivals.Read(func(uintptr) bool {
			dense := time.Since(left) < lookInterval
			n, err := s.drain(b, take)
			if n > 0 {
				pause = time.Millisecond
			}
			if dense && err == nil {
				err = s.look(b, take)
			}
			left = time.Now()
			return err != nil
		})
		if closed != nil {
			return nil
		}
		time.Sleep(pause) // the kernel is out of memory, or the like
		pause = min(2*pause, time.Second)
	}
}

// lookInterval is how often the socket is read while packets come more often than that: to be woken
// for each of them takes more time than they do.
const lookInterval = time.Millisecond

// look reads now and then, without being woken, until nothing has come.
func (s *UDPSocket) look(b *batch, take receiver) error {
	if err := s.wake(false); err != nil {
		return err
	}
	for {
		time.Sleep(lookInterval)
		n, err := s.drain(b, take)
		if err != nil {
			return errors.Join(err, s.wake(true))
		}
		if n > 0 {
			continue
		}
		if err := s.wake(true); err != nil {
			return err
		}
		// What came before that has woken nobody.
		if n, err = s.drain(b, take); err != nil || n == 0 {
			return err
		}
		if err := s.wake(false); err != nil {
			return err
		}
	}
}

// wake says whether the reader is woken by packets that come from now on.
func (s *UDPSocket) wake(woken bool) error {
	var event unix.EpollEvent
	if woken {
		event.Events = unix.EPOLLIN
	}
	arrivals, err := s.arrivals.SyscallConn()
	if err != nil {
		return err
	}
	var failure, closed error
	err = arrivals.Control(func(watch uintptr) {
		closed = s.raw.Control(func(fd uintptr) {
			failure = unix.EpollCtl(int(watch), unix.EPOLL_CTL_MOD, int(fd), &event)
		})
	})
	return errors.Join(err, closed, failure)
}

// drain takes all packets that have arrived at a socket, and returns how many there were. That
// there are no more is no error.
func (s *UDPSocket) drain(b *batch, take receiver) (all int, err error) {
	for {
		if err := s.raw.Control(b.run); err != nil {
			return all, err
		}
		if b.err != nil {
			if errors.Is(b.err, unix.EAGAIN) {
				s.behind.Store(false)
				return all, nil
			}
			return all, b.err
		}
		all += b.received
		s.behind.Store(b.received == len(b.messages))
		for i := range b.received {
			if packet, from, ok := b.packet(i); ok {
				take(packet, from)
			}
		}
		if b.received < len(b.messages) {
			return all, nil
		}
	}
}

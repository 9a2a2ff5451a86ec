package main

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mediarooms.dev/mediarooms/test/wait"
)

// floorSenderCommand, as the first argument, makes this program the sender of the floor: a process
// of its own, whose CPU is measured, in the namespace in which the media pod runs otherwise.
const floorSenderCommand = "floor-sender"

// How the floor sends.
const (
	sendTo       = "sendto"
	sendMultiple = "sendmmsg"
	sendSegments = "gso"
)

// floorKinds are the senders that are measured, and what they are called.
var floorKinds = []struct{ kind, text string }{
	{sendTo, "floor: AES-128-GCM seal + one sendto per packet"},
	{sendMultiple, "the same with sendmmsg of 64"},
	{sendSegments, "the same with UDP GSO, one send per receiver and burst"},
}

// floorReport is what the sender writes to its standard output: one for each window.
type floorReport struct {
	CPUMicroseconds float64 `json:"cpuMicroseconds"`
	Packets         int64   `json:"packets"`
}

// measureFloor sends like the media pod to as many live receivers: sealed packets, paced like the
// media, and nothing else. burst is the number of packets of a frame.
func measureFloor(ctx context.Context, l *link, o options, kind string, subscribers, burst int) (cost, error) {
	var received atomic.Int64
	var readers sync.WaitGroup
	var sockets []*net.UDPConn
	defer func() {
		for _, socket := range sockets {
			_ = socket.Close() // this ends its reader
		}
		readers.Wait()
	}()
	var ports []string
	for range subscribers {
		socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(l.clientAddress)})
		if err != nil {
			return cost{}, fmt.Errorf("opening a receiver: %w", err)
		}
		sockets = append(sockets, socket)
		ports = append(ports, strconv.Itoa(socket.LocalAddr().(*net.UDPAddr).Port))
		readers.Go(func() {
			buffer := make([]byte, 2048)
			for {
				if _, _, err := socket.ReadFromUDPAddrPort(buffer); err != nil {
					return
				}
				received.Add(1)
			}
		})
	}
	program, err := os.Executable()
	if err != nil {
		return cost{}, err
	}
	command := l.command(ctx, program, floorSenderCommand, kind, o.window.String(), strconv.Itoa(o.windows), strconv.Itoa(burst), l.clientAddress,
		strings.Join(ports, ","))
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, os.Stderr
	if err := command.Run(); err != nil {
		return cost{}, fmt.Errorf("running the floor's sender: %w", err)
	}
	var figures []float64
	var sent int64
	for decoder := json.NewDecoder(&output); decoder.More(); {
		var report floorReport
		if err := decoder.Decode(&report); err != nil {
			return cost{}, fmt.Errorf("reading what the floor's sender says: %w", err)
		}
		figures = append(figures, report.CPUMicroseconds/float64(report.Packets))
		sent += report.Packets
	}
	// The last packets may be on their way; what has not come after a second is lost.
	_ = wait.Poll(ctx, time.Second, func() error {
		if received.Load() < sent {
			return errors.New("some packets are missing")
		}
		return nil
	})
	if len(figures) == 0 {
		return cost{}, errors.New("the floor's sender says nothing")
	}
	return cost{microseconds: median(figures), lost: max(0, 1-float64(received.Load())/float64(sent))}, nil
}

// sender seals and sends bursts to receivers. It is used by one goroutine.
type sender struct {
	socket    int
	burst     int // packets of a frame
	receivers []receiver
	nonce     [12]byte
	plain     []byte

	headers []multipleMessage // for sendmmsg
	vectors []unix.Iovec
	control []byte // for GSO
}

type receiver struct {
	address unix.RawSockaddrInet4
	seal    cipher.AEAD
	// sealed are the packets of a burst, one after another.
	sealed []byte
}

// multipleMessage is struct mmsghdr (sendmmsg(2)).
type multipleMessage struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

const (
	// rtpHeader is what a packet has beside its payload: the header, and an extension of 8 bytes.
	rtpHeader = 20
	// sealedBytes adds the tag.
	sealedBytes = rtpHeader + packetBytes + 16
	// multipleMessages in one sendmmsg.
	multipleMessages = 64
)

// runFloorSender is the sender's process: KIND WINDOW WINDOWS BURST ADDRESS PORT,PORT,...
func runFloorSender(args []string) error {
	if len(args) != 6 {
		return fmt.Errorf("%d arguments, want 6", len(args))
	}
	window, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	windows, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	packetsOfBurst, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	s, err := newSender(net.ParseIP(args[4]).To4(), strings.Split(args[5], ","), packetsOfBurst)
	if err != nil {
		return err
	}
	burst, known := map[string]func() error{
		sendTo: s.sendEach, sendMultiple: s.sendMultiple, sendSegments: s.sendSegments,
	}[args[0]]
	if !known {
		return fmt.Errorf("unknown kind %q", args[0])
	}
	tick := time.NewTicker(time.Second / framesPerSecond)
	defer tick.Stop()
	output := json.NewEncoder(os.Stdout)
	for range windows {
		start, err := selfCPU()
		if err != nil {
			return err
		}
		var packets int64
		for end := time.Now().Add(window); time.Now().Before(end); <-tick.C {
			if err := burst(); err != nil {
				return err
			}
			packets += int64(packetsOfBurst * len(s.receivers))
		}
		end, err := selfCPU()
		if err != nil {
			return err
		}
		report := floorReport{CPUMicroseconds: float64((end - start).Microseconds()), Packets: packets}
		if err := output.Encode(report); err != nil {
			return err
		}
	}
	return nil
}

func selfCPU() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("reading the used CPU: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}

func newSender(address net.IP, ports []string, burst int) (*sender, error) {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the socket: %w", err)
	}
	s := &sender{socket: socket, burst: burst, plain: make([]byte, rtpHeader+packetBytes)}
	for i, text := range ports {
		port, err := strconv.Atoi(text)
		if err != nil {
			return nil, err
		}
		key := make([]byte, 16)
		binary.BigEndian.PutUint32(key, uint32(i))
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		seal, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		r := receiver{seal: seal, sealed: make([]byte, 0, burst*sealedBytes)}
		r.address.Family = unix.AF_INET
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&r.address.Port))[:], uint16(port))
		copy(r.address.Addr[:], address)
		s.receivers = append(s.receivers, r)
	}
	s.headers = make([]multipleMessage, multipleMessages)
	s.vectors = make([]unix.Iovec, multipleMessages)
	// A control message with the size of a segment (udp(7), UDP_SEGMENT).
	s.control = make([]byte, unix.CmsgSpace(2))
	header := (*unix.Cmsghdr)(unsafe.Pointer(&s.control[0]))
	header.Level, header.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	header.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(s.control[unix.CmsgLen(0):], sealedBytes)
	return s, nil
}

// packet seals the next packet of a receiver's burst and returns it.
func (s *sender) packet(r *receiver) []byte {
	start := len(r.sealed)
	copy(r.sealed[start:start+rtpHeader], s.plain) // the header is authenticated, not encrypted
	header := r.sealed[start : start+rtpHeader]
	binary.BigEndian.PutUint64(s.nonce[4:], binary.BigEndian.Uint64(s.nonce[4:])+1)
	r.sealed = r.seal.Seal(r.sealed[:start+rtpHeader], s.nonce[:], s.plain[rtpHeader:], header)
	return r.sealed[start:]
}

func (s *sender) sendEach() error {
	for i := range s.receivers {
		s.receivers[i].sealed = s.receivers[i].sealed[:0]
	}
	for range s.burst {
		for i := range s.receivers {
			r := &s.receivers[i]
			packet := s.packet(r)
			_, _, code := unix.Syscall6(unix.SYS_SENDTO, uintptr(s.socket), uintptr(unsafe.Pointer(&packet[0])), uintptr(len(packet)),
				0, uintptr(unsafe.Pointer(&r.address)), unix.SizeofSockaddrInet4)
			if code != 0 {
				return fmt.Errorf("sending: %w", code)
			}
		}
	}
	return nil
}

func (s *sender) sendMultiple() error {
	for i := range s.receivers {
		s.receivers[i].sealed = s.receivers[i].sealed[:0]
	}
	n := 0
	for range s.burst {
		for i := range s.receivers {
			r := &s.receivers[i]
			packet := s.packet(r)
			s.vectors[n].Base = &packet[0]
			s.vectors[n].SetLen(len(packet))
			s.headers[n].header = unix.Msghdr{
				Name: (*byte)(unsafe.Pointer(&r.address)), Namelen: unix.SizeofSockaddrInet4, Iov: &s.vectors[n], Iovlen: 1,
			}
			if n++; n == multipleMessages {
				if err := s.flush(n); err != nil {
					return err
				}
				n = 0
			}
		}
	}
	return s.flush(n)
}

func (s *sender) flush(n int) error {
	for done := 0; done < n; {
		sent, _, code := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.socket), uintptr(unsafe.Pointer(&s.headers[done])),
			uintptr(n-done), 0, 0, 0)
		if code != 0 {
			return fmt.Errorf("sending: %w", code)
		}
		done += int(sent)
	}
	return nil
}

func (s *sender) sendSegments() error {
	for i := range s.receivers {
		r := &s.receivers[i]
		r.sealed = r.sealed[:0]
		for range s.burst {
			s.packet(r)
		}
		vector := unix.Iovec{Base: &r.sealed[0]}
		vector.SetLen(len(r.sealed))
		message := unix.Msghdr{
			Name: (*byte)(unsafe.Pointer(&r.address)), Namelen: unix.SizeofSockaddrInet4, Iov: &vector, Iovlen: 1,
			Control: &s.control[0],
		}
		message.SetControllen(len(s.control))
		_, _, code := unix.Syscall(unix.SYS_SENDMSG, uintptr(s.socket), uintptr(unsafe.Pointer(&message)), 0)
		if code != 0 {
			return fmt.Errorf("sending: %w", code)
		}
	}
	return nil
}

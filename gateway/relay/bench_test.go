package relay

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
)

// pair returns both ends of a TCP connection.
func pair(b *testing.B) (near, far net.Conn) {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if far, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		b.Fatal(err)
	}
	if near, err = listener.Accept(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}

// BenchmarkRoundTrip takes a request to a media pod and its answer back: through the relay, and
// through what copies bytes, as a reverse proxy does.
func BenchmarkRoundTrip(b *testing.B) {
	for name, size := range map[string]int{"small": 100, "offer": 10 << 10, "large": 1 << 20} {
		for by, carry := range map[string]func(client, pod net.Conn){
			"relay": func(client, pod net.Conn) {
				_ = Run(context.Background(), Config{Client: client, FromClient: bufio.NewReader(client), Pod: pod, Moved: func() bool { return false }})
			},
			"copy": func(client, pod net.Conn) {
				done := make(chan struct{})
				go func() {
					defer close(done)
					_, _ = io.Copy(struct{ io.Writer }{pod}, struct{ io.Reader }{client})
					_ = pod.Close()
				}()
				_, _ = io.Copy(struct{ io.Writer }{client}, struct{ io.Reader }{pod})
				_ = client.Close()
				<-done
			},
		} {
			b.Run(name+"/"+by, func(b *testing.B) {
				clientNear, client := pair(b)
				podNear, pod := pair(b)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					carry(clientNear, podNear)
				}()
				filler := strings.Repeat("x", size)
				asks := (&end{mask: true}).frame(opText, true, `{"jsonrpc":"2.0","method":"m","params":{"x":"`+filler+`"},"id":1}`)
				answers := (&end{}).frame(opText, true, `{"jsonrpc":"2.0","id":1,"result":{"x":"`+filler+`"}}`)
				go func() {
					request := make([]byte, len(asks))
					for {
						if _, err := io.ReadFull(pod, request); err != nil {
							return
						}
						if _, err := pod.Write(answers); err != nil {
							return
						}
					}
				}()
				b.SetBytes(int64(len(asks) + len(answers)))
				answer := make([]byte, len(answers))
				b.ReportAllocs()
				for b.Loop() {
					go func() { _, _ = client.Write(asks) }()
					if _, err := io.ReadFull(client, answer); err != nil {
						b.Fatal(err)
					}
				}
				_, _ = client.Close(), pod.Close()
				<-ended
			})
		}
	}
}

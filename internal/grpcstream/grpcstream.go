// Package grpcstream is the authority on how gRPC streams are read by who also does other things:
// in a select.
package grpcstream

import "context"

// Receive passes on what a stream brings, and then why it has ended. Its goroutine ends with the
// stream, of which ctx is the context.
func Receive[M any](ctx context.Context, receive func() (M, error)) (<-chan M, <-chan error) {
	messages, failed := make(chan M), make(chan error, 1)
	go func() {
		for {
			message, err := receive()
			if err != nil {
				failed <- err
				return
			}
			select {
			case messages <- message:
			case <-ctx.Done():
				failed <- ctx.Err()
				return
			}
		}
	}()
	return messages, failed
}

// Package cdr is the authority on the log of call detail records (openvidu-rest 5.2): every event
// of every Session, as one line of JSON, whatever webhooks are told.
package cdr

import (
	"context"
	"fmt"
	"io"
	"sync"

	"mediarooms.dev/mediarooms/controllers/eventlog"
	"mediarooms.dev/mediarooms/controllers/openvidu"
)

// Log is where the events come from.
type Log interface {
	Done(entry *eventlog.Entry, recipient eventlog.Recipient)
}

// Writer writes the records. It implements eventlog.Recipient; a writer that blocks holds up
// nothing but the records.
type Writer struct {
	log Log
	out io.Writer

	mu      sync.Mutex // guards waiting
	waiting []*eventlog.Entry
	wake    chan struct{} // holds one element while there is something to write
}

// NewWriter returns a writer that writes while Start runs.
func NewWriter(log Log, out io.Writer) *Writer {
	return &Writer{log: log, out: out, wake: make(chan struct{}, 1)}
}

// Offer implements eventlog.Recipient.
func (w *Writer) Offer(entry *eventlog.Entry) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = append(w.waiting, entry)
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return true
}

// Drop implements eventlog.Recipient.
func (w *Writer) Drop(entry *eventlog.Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, waiting := range w.waiting {
		if waiting == entry {
			w.waiting = append(w.waiting[:i:i], w.waiting[i+1:]...)
			return
		}
	}
}

// Start writes until the context ends, or a line can't be written.
func (w *Writer) Start(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		}
		w.mu.Lock()
		entries := w.waiting
		w.waiting = nil
		w.mu.Unlock()
		for _, entry := range entries {
			if _, err := w.out.Write(openvidu.Line(entry.Room, entry.Event)); err != nil {
				return fmt.Errorf("writing a call detail record: %w", err)
			}
			w.log.Done(entry, w)
		}
	}
}

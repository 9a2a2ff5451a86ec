package media

import (
	"encoding/json"
	"fmt"
)

// Memory is a value of a room in the form in which it passes to another pod. Nobody changes it.
type Memory []byte

// NewMemory returns the memory of a value, which has exported fields only. An error means that the
// value has a type that can't be remembered.
func NewMemory(value any) (Memory, error) {
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("writing a memory: %w", err)
	}
	return encoded, nil
}

// Read sets a value to the one that is remembered. It fails when that is of another type, as one of
// another version of the pod may be.
func (m Memory) Read(value any) error {
	if err := json.Unmarshal(m, value); err != nil {
		return fmt.Errorf("reading a memory: %w", err)
	}
	return nil
}

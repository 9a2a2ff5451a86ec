package rest

import "encoding/json"

// nullable is a member that can be absent, null or a value.
type nullable struct {
	present bool
	value   any
}

// null returns a member that is there: null for the zero value, the value otherwise.
func null[T comparable](value T) nullable {
	var zero T
	if value == zero {
		return nullable{present: true}
	}
	return nullable{present: true, value: value}
}

// IsZero says whether the member is absent.
func (n nullable) IsZero() bool { return !n.present }

// MarshalJSON writes null or the value.
func (n nullable) MarshalJSON() ([]byte, error) { return json.Marshal(n.value) }

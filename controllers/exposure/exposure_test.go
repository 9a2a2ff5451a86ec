package exposure

import (
	"testing"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

func TestChoosePort(t *testing.T) {
	within := v1alpha1.PortRange{First: 100, Last: 104}
	for sentence, test := range map[string]struct {
		within v1alpha1.PortRange
		stride int32
		used   map[int32]int
		want   int32
	}{
		"the first pod gets the first port":                          {within, 1, nil, 100},
		"a port that nobody uses is taken":                           {within, 1, map[int32]int{100: 1, 101: 1}, 102},
		"a gap is filled":                                            {within, 1, map[int32]int{100: 1, 102: 1}, 101},
		"when all are used, the lowest of those that the fewest use": {within, 1, map[int32]int{100: 2, 101: 1, 102: 2, 103: 1, 104: 1}, 101},
		"a range may have one port":                                  {v1alpha1.PortRange{First: 100, Last: 100}, 1, map[int32]int{100: 3}, 100},
		"pods in their node's network take several":                  {v1alpha1.PortRange{First: 100, Last: 111}, 5, map[int32]int{100: 1}, 105},
		"the last ones must all be in the range":                     {v1alpha1.PortRange{First: 100, Last: 108}, 5, map[int32]int{100: 1}, 100},
		"a range that is too small gives none":                       {within, 6, nil, 0},
	} {
		t.Run(sentence, func(t *testing.T) {
			if got := choosePort(test.within, test.stride, test.used); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

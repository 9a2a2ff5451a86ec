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
		taken  map[int32]bool
		want   int32
	}{
		"the first pod gets the first port":                          {within, 1, nil, nil, 100},
		"a port that nobody uses is taken":                           {within, 1, map[int32]int{100: 1, 101: 1}, nil, 102},
		"a gap is filled":                                            {within, 1, map[int32]int{100: 1, 102: 1}, nil, 101},
		"when all are used, the lowest of those that the fewest use": {within, 1, map[int32]int{100: 2, 101: 1, 102: 2, 103: 1, 104: 1}, nil, 101},
		"a range may have one port":                                  {v1alpha1.PortRange{First: 100, Last: 100}, 1, map[int32]int{100: 3}, nil, 100},
		"pods in their node's network take several":                  {v1alpha1.PortRange{First: 100, Last: 111}, 5, map[int32]int{100: 1}, nil, 105},
		"the last ones must all be in the range":                     {v1alpha1.PortRange{First: 100, Last: 108}, 5, map[int32]int{100: 1}, nil, 100},
		"a range that is too small gives none":                       {within, 6, nil, nil, 0},
		"a port that is taken is left out":                           {within, 1, map[int32]int{100: 1}, map[int32]bool{101: true}, 102},
		"a port that is taken is worse than one that pods use":       {v1alpha1.PortRange{First: 100, Last: 101}, 1, map[int32]int{101: 2}, map[int32]bool{100: true}, 101},
		"a port that a pod had a short while ago is left out":        {v1alpha1.PortRange{First: 103, Last: 104}, 1, nil, nil, 104},
		"it is better than one that a pod has":                       {v1alpha1.PortRange{First: 103, Last: 104}, 1, map[int32]int{104: 1}, nil, 103},
		"when all are taken, the lowest":                             {v1alpha1.PortRange{First: 100, Last: 101}, 1, nil, map[int32]bool{100: true, 101: true}, 100},
	} {
		t.Run(sentence, func(t *testing.T) {
			ports := Ports{test.used, test.taken, map[int32]bool{103: true}}
			if got := ports.choose(test.within, test.stride); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

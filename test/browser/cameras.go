package browser

import (
	"fmt"
	"slices"
	"sync"
)

// fakeCameras are the numbers of Chromium's fake cameras that a page may be given, from 1 on; there
// are ten of them at most. The second has no colours, and the third compresses its pictures.
var fakeCameras = []int{1, 4, 5, 6, 7, 8, 9, 10}

// fakeDevices is the flag that gives a browser all of them.
var fakeDevices = fmt.Sprintf("device-count=%d", slices.Max(fakeCameras))

// cameras gives each page of a browser a camera of its own. Pages that share one share the frames
// that it keeps, too: with four of them it stops now and then, for seconds or for good. The zero
// value is ready; it is safe for concurrent use.
type cameras struct {
	mu    sync.Mutex // guards users
	users map[int]int
}

// take returns the number of a camera that the fewest pages have; release gives it back.
func (c *cameras) take() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users == nil {
		c.users = map[int]int{}
	}
	number := slices.MinFunc(fakeCameras, func(a, b int) int { return c.users[a] - c.users[b] })
	c.users[number]++
	return number
}

func (c *cameras) release(number int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.users[number]--
}

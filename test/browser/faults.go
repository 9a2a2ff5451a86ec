package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Reload loads the page again, as a user does. What ran in it is gone without a word.
func (p *Page) Reload() error {
	p.leave(false)
	if err := p.do(chromedp.Reload()); err != nil {
		return fmt.Errorf("reloading %s: %w", p.Name, err)
	}
	return nil
}

// Crash ends the page's process. The page can't be used any more.
func (p *Page) Crash() {
	p.leave(true)
	p.running.Lock()
	defer p.running.Unlock()
	// The command has no answer: the process that would give it is gone.
	ctx, cancel := context.WithTimeout(p.ctx, time.Second)
	defer cancel()
	_, _ = chromedp.Call(ctx, page.Crash, cdp.Empty{})
}

// LosePackets lets that many percent of the packets of the page's peer connections get lost, 0
// to 100. It only reaches peer connections that were made while it was in force with any number:
// call it with 0 before.
func (p *Page) LosePackets(percent float64) error {
	p.running.Lock()
	defer p.running.Unlock()
	ctx, cancel := context.WithTimeout(p.ctx, callTimeout)
	defer cancel()
	// The browser looks at packets only where a queue is bounded.
	conditions := []*network.Conditions{{DownloadThroughput: -1, UploadThroughput: -1, PacketLoss: percent, PacketQueueLength: 10_000}}
	_, err := chromedp.Call(ctx, network.EmulateNetworkConditionsByRule,
		network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: conditions})
	if err != nil {
		return fmt.Errorf("losing packets of %s: %w", p.Name, err)
	}
	return nil
}

// Suspend stops all processes of the browser, as a laptop does that goes to sleep. Only Resume and
// Close may follow.
func (b *Browser) Suspend() error { return b.signal(syscall.SIGSTOP) }

// Resume lets them run again.
func (b *Browser) Resume() error { return b.signal(syscall.SIGCONT) }

// signal sends a signal to the browser's process and to all that came from it.
func (b *Browser) signal(signal syscall.Signal) error {
	root := chromedp.FromContext(b.ctx).Browser.Process()
	if root == nil {
		return fmt.Errorf("looking for the browser's process: there is none")
	}
	children, err := processes()
	if err != nil {
		return err
	}
	for todo := []int{root.Pid}; len(todo) > 0; todo = todo[1:] {
		if err := syscall.Kill(todo[0], signal); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("sending %v to process %d of the browser: %w", signal, todo[0], err)
		}
		todo = append(todo, children[todo[0]]...)
	}
	return nil
}

// processes lists the children of each process of this machine.
func processes() (map[int][]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // it ended meanwhile
		}
		// After the name, which may have any character in it: state, parent, ... (proc(5)).
		fields := strings.Fields(string(content[strings.LastIndexByte(string(content), ')')+1:]))
		child, childErr := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		parent, parentErr := strconv.Atoi(fields[1])
		if childErr == nil && parentErr == nil {
			children[parent] = append(children[parent], child)
		}
	}
	return children, nil
}

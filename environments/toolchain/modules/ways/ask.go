package main

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Each way is tried until nothing has got through on any for so long. The second round is for those that did not, so
// that a busy machine does not turn an open way into a shut one.
var patience = []time.Duration{300 * time.Millisecond, 700 * time.Millisecond}

const (
	open, shut, untried = 'a', 'r', '-'
	longestRound        = 10 * time.Second
	nonceBytes          = 16
)

var protocols = map[string]int{"TCP": unix.IPPROTO_TCP, "UDP": unix.IPPROTO_UDP, "SCTP": unix.IPPROTO_SCTP}

// trial is one question on its way to an answer.
type trial struct {
	nonce    [nonceBytes]byte
	ends     []*end
	ports    []port
	letters  [][][]byte // from, to, port
	progress atomic.Int64
}

func (a *agent) ask(asked *question) (matrix, error) {
	spaces, err := findSpaces(a.namespaces)
	if err != nil {
		return nil, err
	}
	defer closeSpaces(spaces)
	one := &trial{ports: asked.Ports}
	_, _ = rand.Read(one.nonce[:])
	if err := checkPorts(asked.Ports); err != nil {
		return nil, err
	}
	for _, name := range names(asked.Ends) {
		address, err := netip.ParseAddr(asked.Ends[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		space := spaces[address]
		if space == nil {
			return nil, fmt.Errorf("no pod on this node has the address %s of %q", address, name)
		}
		one.ends = append(one.ends, &end{name: name, address: address, space: space})
	}
	if err := a.addOutside(one, asked.Outside); err != nil {
		return nil, err
	}
	return one.run()
}

func (a *agent) addOutside(one *trial, wanted map[string]string) error {
	addresses := map[netip.Addr]bool{}
	for _, name := range names(wanted) {
		address, err := netip.ParseAddr(wanted[name])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		far := &end{name: name, address: address, outer: true}
		if address.Is4() {
			far.space = a.outside.space
			addresses[address] = true
		}
		one.ends = append(one.ends, far)
	}
	return a.outside.hold(addresses)
}

func checkPorts(ports []port) error {
	for _, one := range ports {
		if _, known := protocols[one.Protocol]; !known || one.Port < 1 || one.Port > 65535 {
			return fmt.Errorf("no such port: %d/%s", one.Port, one.Protocol)
		}
	}
	return nil
}

func names(named map[string]string) []string {
	sorted := make([]string, 0, len(named))
	for name := range named {
		sorted = append(sorted, name)
	}
	sort.Strings(sorted)
	return sorted
}

func (t *trial) run() (matrix, error) {
	t.letters = make([][][]byte, len(t.ends))
	for index, from := range t.ends {
		from.index = index
		from.held = map[int]bool{}
		t.letters[index] = make([][]byte, len(t.ends))
		for place, to := range t.ends {
			t.letters[index][place] = t.begin(from, to, index == place)
		}
	}
	server, err := t.listen()
	if err != nil {
		return nil, err
	}
	defer server.stop()
	for _, quiet := range patience {
		if err := t.round(quiet); err != nil {
			return nil, err
		}
	}
	return t.matrix(), nil
}

// begin is what is said of a way before it is tried.
func (t *trial) begin(from, to *end, same bool) []byte {
	letters := make([]byte, len(t.ports))
	for index, one := range t.ports {
		letters[index] = shut
		idle := same || from.outer && to.outer || from.space == nil || to.space == nil || !from.address.Is4() || !to.address.Is4()
		if idle || !spoken(one.Protocol) {
			letters[index] = untried
		}
	}
	return letters
}

// spoken says whether the node's kernel knows a protocol; SCTP is often left out.
func spoken(protocol string) bool {
	if protocol == "UDP" {
		return true
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, protocols[protocol])
	if err == nil {
		_ = unix.Close(fd)
	}
	return err == nil
}

// round tries all ways that are shut so far, as many at the same time as this process may have files open.
func (t *trial) round(quiet time.Duration) error {
	var group []*end
	budget := mostFiles()
	room := budget
	for _, from := range t.ends {
		wanted := t.streamsLeft(from)
		if wanted > room && len(group) > 0 {
			if err := t.dialFrom(group, quiet); err != nil {
				return err
			}
			group, room = nil, budget
		}
		group, room = append(group, from), room-wanted
	}
	return t.dialFrom(group, quiet)
}

func (t *trial) dialFrom(group []*end, quiet time.Duration) error {
	source := nextSource()
	t.moved()
	failures := make(chan error, len(group))
	var running sync.WaitGroup
	for _, from := range group {
		if from.space == nil {
			continue
		}
		running.Add(1)
		go func() {
			defer running.Done()
			one := &dialer{trial: t, from: from, quiet: quiet}
			if err := inside(from.space, func() error { return one.dial(source) }); err != nil {
				failures <- fmt.Errorf("from %q: %w", from.name, err)
			}
		}()
	}
	running.Wait()
	close(failures)
	return <-failures
}

func (t *trial) streamsLeft(from *end) int {
	left := 0
	for _, letters := range t.letters[from.index] {
		for index, letter := range letters {
			if letter == shut && t.ports[index].Protocol != "UDP" {
				left++
			}
		}
	}
	return left
}

// mostFiles is how many connections may wait at the same time; the rest is for listeners and what they accept.
func mostFiles() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 512
	}
	return int(min(limit.Cur, 1<<16) * 2 / 3)
}

func (t *trial) moved() { t.progress.Store(time.Now().UnixNano()) }

func (t *trial) idle() time.Duration { return time.Duration(time.Now().UnixNano() - t.progress.Load()) }

func (t *trial) matrix() matrix {
	found := matrix{}
	for index, from := range t.ends {
		found[from.name] = map[string]string{}
		for place, to := range t.ends {
			found[from.name][to.name] = string(t.letters[index][place])
		}
	}
	return found
}

// token is what a listener of ours answers: nobody else's server can know it.
func (t *trial) token(to *end, port int) []byte {
	return append(append([]byte{}, t.nonce[:]...), byte(to.index>>8), byte(to.index), byte(port))
}

package main

import (
	"bytes"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Ports that datagrams come from: below none that is tried, and each round another. A way that was open a moment ago
// would else still be open, because the node takes the new datagram for one of the old exchange.
const firstSource, lastSource = 60000, 65000

var sources atomic.Int64

func init() { sources.Store(time.Now().UnixNano() % (lastSource - firstSource)) }

func nextSource() int { return firstSource + int(sources.Add(1)%(lastSource-firstSource)) }

// A query for ways.cluster.local, which a DNS server answers, even if only by saying that there is no such name.
var dnsQuery = []byte("\x20\x09\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04ways\x07cluster\x05local\x00\x00\x01\x00\x01")

type target struct {
	to   *end
	port int // its index
}

type place struct {
	address [4]byte
	port    int
}

// dialer tries the ways from one end, on one thread in its namespace.
type dialer struct {
	trial     *trial
	from      *end
	quiet     time.Duration
	epoll     int
	streams   map[int]target
	datagrams int
	asked     map[place]target
}

func (d *dialer) dial(source int) error {
	var err error
	if d.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(d.epoll)
	if d.datagrams, err = newSocket("UDP"); err != nil {
		return err
	}
	defer unix.Close(d.datagrams)
	if err := unix.Bind(d.datagrams, &unix.SockaddrInet4{Port: source, Addr: d.from.address.As4()}); err != nil {
		return err
	}
	if err := watch(d.epoll, d.datagrams, unix.EPOLLIN); err != nil {
		return err
	}
	d.streams, d.asked = map[int]target{}, map[place]target{}
	defer d.closeAll()
	if err := d.send(); err != nil {
		return err
	}
	d.gather()
	return nil
}

func (d *dialer) send() error {
	for _, to := range d.trial.ends {
		for index, port := range d.trial.ports {
			if d.trial.letters[d.from.index][to.index][index] != shut {
				continue
			}
			one := target{to, index}
			if port.Protocol == "UDP" {
				d.sendDatagram(one, port.Port)
			} else if err := d.connect(one, port); err != nil {
				return err
			}
			d.collect(0)
		}
	}
	d.trial.moved()
	return nil
}

func (d *dialer) sendDatagram(one target, number int) {
	said := d.trial.nonce[:]
	if one.to.held[one.port] {
		said = dnsQuery
	}
	where := place{one.to.address.As4(), number}
	d.asked[where] = one
	_ = unix.Sendto(d.datagrams, said, 0, &unix.SockaddrInet4{Addr: where.address, Port: number})
}

func (d *dialer) connect(one target, port port) error {
	fd, err := newSocket(port.Protocol)
	if err != nil {
		return err
	}
	// Closing resets the connection, so that neither side nor the node remembers it.
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 0})
	if d.from.outer {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: d.from.address.As4()}); err != nil {
			_ = unix.Close(fd)
			return err
		}
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: one.to.address.As4(), Port: port.Port})
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		_ = unix.Close(fd)
		return nil // refused at once, as by a policy that rejects
	}
	d.streams[fd] = one
	events := uint32(unix.EPOLLIN)
	if one.to.held[one.port] {
		events = unix.EPOLLOUT
	}
	return watch(d.epoll, fd, events)
}

// gather waits for answers until there are all, or until nobody has had any for a while.
func (d *dialer) gather() {
	for end := time.Now().Add(longestRound); len(d.streams)+len(d.asked) > 0 && time.Now().Before(end); {
		if !d.collect(20) && d.trial.idle() > d.quiet {
			return
		}
	}
}

// collect takes the answers that are there, or come within so many milliseconds; false: there were none.
func (d *dialer) collect(wait int) bool {
	var events [128]unix.EpollEvent
	count, err := unix.EpollWait(d.epoll, events[:], wait)
	if err != nil || count == 0 {
		return errors.Is(err, unix.EINTR)
	}
	for _, event := range events[:count] {
		if int(event.Fd) == d.datagrams {
			d.readDatagrams()
		} else {
			d.readStream(int(event.Fd))
		}
	}
	d.trial.moved()
	return true
}

func (d *dialer) readStream(fd int) {
	one := d.streams[fd]
	said := make([]byte, 64)
	failed, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && failed == 0 {
		if one.to.held[one.port] {
			d.through(one)
		} else if count, _ := unix.Read(fd, said); bytes.Equal(said[:max(count, 0)], d.trial.token(one.to, one.port)) {
			d.through(one)
		}
	}
	_ = unix.Close(fd)
	delete(d.streams, fd)
}

func (d *dialer) readDatagrams() {
	said := make([]byte, 1024)
	for {
		count, who, err := unix.Recvfrom(d.datagrams, said, 0)
		if err != nil {
			return
		}
		address, known := who.(*unix.SockaddrInet4)
		if !known {
			continue
		}
		where := place{address.Addr, address.Port}
		one, waited := d.asked[where]
		if waited && (one.to.held[one.port] || bytes.Equal(said[:count], d.trial.token(one.to, one.port))) {
			d.through(one)
			delete(d.asked, where)
		}
	}
}

func (d *dialer) through(one target) { d.trial.letters[d.from.index][one.to.index][one.port] = open }

func (d *dialer) closeAll() {
	for fd := range d.streams {
		_ = unix.Close(fd)
	}
}

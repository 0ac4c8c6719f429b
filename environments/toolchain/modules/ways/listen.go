package main

import (
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const backlog = 1024

// server answers on all ports of all ends, from one thread.
type server struct {
	trial   *trial
	epoll   int
	sockets map[int]listener
	stopped atomic.Bool
	done    chan struct{}
}

type listener struct {
	stream bool
	token  []byte
}

func (t *trial) listen() (*server, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	s := &server{trial: t, epoll: epoll, sockets: map[int]listener{}, done: make(chan struct{})}
	for _, one := range t.ends {
		if one.space == nil {
			continue
		}
		if err := inside(one.space, func() error { return s.open(one) }); err != nil {
			close(s.done)
			s.stop()
			return nil, fmt.Errorf("listening as %q: %w", one.name, err)
		}
	}
	go s.loop()
	return s, nil
}

func (s *server) open(one *end) error {
	for index, port := range s.trial.ports {
		if !spoken(port.Protocol) || !one.address.Is4() {
			continue
		}
		fd, err := listenOn(one, port)
		if errors.Is(err, unix.EADDRINUSE) {
			one.held[index] = true
			continue
		}
		if err != nil {
			return err
		}
		s.sockets[fd] = listener{stream: port.Protocol != "UDP", token: s.trial.token(one, index)}
		if err := watch(s.epoll, fd, unix.EPOLLIN); err != nil {
			return err
		}
	}
	return nil
}

func listenOn(one *end, port port) (int, error) {
	fd, err := newSocket(port.Protocol)
	if err != nil {
		return -1, err
	}
	stream := port.Protocol != "UDP"
	if stream { // without it, a connection of the last question would hold the port; on UDP it would take another's port away
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: port.Port, Addr: one.address.As4()})
	}
	if err == nil && stream {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func newSocket(protocol string) (int, error) {
	kind := unix.SOCK_STREAM
	if protocol == "UDP" {
		kind = unix.SOCK_DGRAM
	}
	return unix.Socket(unix.AF_INET, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocols[protocol])
}

func watch(epoll, fd int, events uint32) error {
	return unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

func (s *server) loop() {
	defer close(s.done)
	events := make([]unix.EpollEvent, 256)
	for !s.stopped.Load() {
		count, _ := unix.EpollWait(s.epoll, events, 20)
		for _, event := range events[:max(count, 0)] {
			s.trial.moved()
			if one := s.sockets[int(event.Fd)]; one.stream {
				acceptAll(int(event.Fd), one.token)
			} else {
				s.replyAll(int(event.Fd), one.token)
			}
		}
	}
}

func acceptAll(fd int, token []byte) {
	for {
		made, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		_, _ = unix.Write(made, token)
		_ = unix.Close(made)
	}
}

func (s *server) replyAll(fd int, token []byte) {
	said := make([]byte, 64)
	for {
		count, who, err := unix.Recvfrom(fd, said, 0)
		if err != nil {
			return
		}
		if string(said[:count]) == string(s.trial.nonce[:]) {
			_ = unix.Sendto(fd, token, 0, who)
		}
	}
}

func (s *server) stop() {
	s.stopped.Store(true)
	<-s.done
	for fd := range s.sockets {
		_ = unix.Close(fd)
	}
	_ = unix.Close(s.epoll)
}

package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// end is one pod or address outside: where it is, and in which network namespace.
type end struct {
	name    string
	index   int
	address netip.Addr
	space   *os.File // nil: nothing of its address family can be tried here
	outer   bool
	held    map[int]bool // indexes of ports that something else answers on already
}

// inside runs a function on a thread in another network namespace; the thread ends with it.
func inside(space *os.File, work func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: a thread in another namespace must not be used again
		if err := unix.Setns(int(space.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("setns: %w", err)
			return
		}
		done <- work()
	}()
	return <-done
}

// findSpaces opens the namespaces below a folder, by each address that they hold.
func findSpaces(folder string) (map[netip.Addr]*os.File, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		return nil, err
	}
	found := map[netip.Addr]*os.File{}
	for _, path := range paths {
		space, err := os.Open(path)
		if err != nil {
			continue // its pod ended just now
		}
		var held []netip.Addr
		if err := inside(space, func() (err error) { held, err = addresses(); return err }); err != nil || len(held) == 0 {
			_ = space.Close()
			continue
		}
		for _, address := range held {
			found[address] = space
		}
	}
	return found, nil
}

func addresses() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var held []netip.Addr
	for _, one := range all {
		if prefix, err := netip.ParsePrefix(one.String()); err == nil && !prefix.Addr().IsLoopback() {
			held = append(held, prefix.Addr())
		}
	}
	return held, nil
}

func closeSpaces(spaces map[netip.Addr]*os.File) {
	for _, space := range spaces {
		_ = space.Close() // one that holds two addresses is closed twice, which does no harm
	}
}

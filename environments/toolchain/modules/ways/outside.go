package main

import (
	"net"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	nodeSide  = "ways0"
	outerSide = "ways1"
	gateway   = "169.254.209.1"
	anchor    = "169.254.209.2" // always there: with its last address, an interface loses its routes
)

// outside is a network namespace that holds addresses which exist nowhere else. Nothing but this process' file keeps it,
// so it goes with the process, and its veth and all routes to it go too.
type outside struct {
	space *os.File
	held  map[netip.Addr]bool
}

func newOutside() (*outside, error) {
	space, err := newSpace()
	if err != nil {
		return nil, err
	}
	if old, err := netlink.LinkByName(nodeSide); err == nil {
		_ = netlink.LinkDel(old) // of one that ended just now
	}
	attributes := netlink.NewLinkAttrs()
	attributes.Name = nodeSide
	pair := &netlink.Veth{LinkAttrs: attributes, PeerName: outerSide, PeerNamespace: netlink.NsFd(int(space.Fd()))}
	if err := netlink.LinkAdd(pair); err != nil {
		return nil, err
	}
	if err := bringUp(nodeSide, gateway); err != nil {
		return nil, err
	}
	return &outside{space: space, held: map[netip.Addr]bool{}}, inside(space, connectOuter)
}

func newSpace() (*os.File, error) {
	type made struct {
		space *os.File
		err   error
	}
	done := make(chan made, 1)
	go func() {
		runtime.LockOSThread() // never unlocked, as in inside
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- made{err: err}
			return
		}
		space, err := os.Open("/proc/thread-self/ns/net")
		done <- made{space, err}
	}()
	one := <-done
	return one.space, one.err
}

func bringUp(name, address string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: single(netip.MustParseAddr(address))}); err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

func connectOuter() error {
	if err := bringUp("lo", "127.0.0.1"); err != nil {
		return err
	}
	if err := bringUp(outerSide, anchor); err != nil {
		return err
	}
	link, err := netlink.LinkByName(outerSide)
	if err != nil {
		return err
	}
	_, all, _ := net.ParseCIDR("0.0.0.0/0")
	return netlink.RouteReplace(&netlink.Route{
		LinkIndex: link.Attrs().Index, Dst: all, Gw: net.ParseIP(gateway), Flags: int(netlink.FLAG_ONLINK),
	})
}

// hold makes these, and no others, the addresses outside.
func (o *outside) hold(wanted map[netip.Addr]bool) error {
	for address := range o.held {
		if !wanted[address] {
			if err := o.change(address, netlink.AddrDel, netlink.RouteDel); err != nil {
				return err
			}
			delete(o.held, address)
		}
	}
	for address := range wanted {
		if !o.held[address] {
			if err := o.change(address, netlink.AddrReplace, netlink.RouteReplace); err != nil {
				return err
			}
			o.held[address] = true
		}
	}
	return nil
}

func (o *outside) change(
	address netip.Addr, own func(netlink.Link, *netlink.Addr) error, lead func(*netlink.Route) error,
) error {
	err := inside(o.space, func() error {
		link, err := netlink.LinkByName(outerSide)
		if err != nil {
			return err
		}
		return own(link, &netlink.Addr{IPNet: single(address)})
	})
	if err != nil {
		return err
	}
	link, err := netlink.LinkByName(nodeSide)
	if err != nil {
		return err
	}
	return lead(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: single(address), Scope: netlink.SCOPE_LINK})
}

func single(address netip.Addr) *net.IPNet {
	return &net.IPNet{IP: address.AsSlice(), Mask: net.CIDRMask(address.BitLen(), address.BitLen())}
}

// coredns is CoreDNS with the plugins that kubeadm's Corefile names, and no others: those of three clouds' own DNS would
// take most of the time that it is built in.
package main

import (
	"fmt"
	"os"

	_ "github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/loop"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
)

var version = "unknown" // set when it is built

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("coredns " + version)
		return
	}
	coremain.Run()
}

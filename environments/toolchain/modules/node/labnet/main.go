// labnet: the node network daemon of the lab node image (what kindnetd is to stock kind). On its node it
//   - writes the CNI configuration (ptp + host-local + portmap) from the node's podCIDR,
//   - routes the other nodes' podCIDRs to their InternalIPs,
//   - masquerades pod traffic that leaves the pod subnet,
//   - enforces networking.k8s.io/v1 NetworkPolicy (IPv4) with ipset and iptables.
package main

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corel "k8s.io/client-go/listers/core/v1"
	netl "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

const top = "LABNET-NP"

type daemon struct {
	node, hostIP, podSubnet string
	nodes                   corel.NodeLister
	pods                    corel.PodLister
	nss                     corel.NamespaceLister
	nps                     netl.NetworkPolicyLister
	lastCNI, lastRules      string
}

var version = "v0.0.0" // set by the build

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("labnet", version)
		return
	}
	log.SetFlags(log.Ltime | log.LUTC)
	d := &daemon{node: os.Getenv("NODE_NAME"), hostIP: os.Getenv("HOST_IP"), podSubnet: os.Getenv("POD_SUBNET")}
	cfg, err := rest.InClusterConfig()
	if err != nil {
		log.Fatal(err)
	}
	if ep := os.Getenv("CONTROL_PLANE_ENDPOINT"); ep != "" {
		cfg.Host = "https://" + ep
	}
	cs, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		log.Fatal(err)
	}
	kick := make(chan struct{}, 1)
	poke := func() {
		select {
		case kick <- struct{}{}:
		default:
		}
	}
	h := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { poke() },
		UpdateFunc: func(_, _ any) { poke() },
		DeleteFunc: func(any) { poke() },
	}
	f := informers.NewSharedInformerFactory(cs, 10*time.Minute)
	d.nodes, d.pods = f.Core().V1().Nodes().Lister(), f.Core().V1().Pods().Lister()
	d.nss, d.nps = f.Core().V1().Namespaces().Lister(), f.Networking().V1().NetworkPolicies().Lister()
	for _, i := range []cache.SharedIndexInformer{f.Core().V1().Nodes().Informer(), f.Core().V1().Pods().Informer(),
		f.Core().V1().Namespaces().Informer(), f.Networking().V1().NetworkPolicies().Informer()} {
		if _, err := i.AddEventHandler(h); err != nil {
			log.Fatal(err)
		}
	}
	ctx := context.Background()
	f.Start(ctx.Done())
	f.WaitForCacheSync(ctx.Done())
	log.Printf("labnet on node %s (%s), pod subnet %s", d.node, d.hostIP, d.podSubnet)
	poke()
	tick := time.NewTicker(30 * time.Second)
	for {
		select {
		case <-kick:
		case <-tick.C:
		}
		if err := d.syncNet(); err != nil {
			log.Printf("network: %v", err)
			time.Sleep(time.Second)
			poke()
			continue
		}
		if err := d.syncPolicies(); err != nil {
			log.Printf("policies: %v", err)
			time.Sleep(time.Second)
			poke()
		}
		time.Sleep(100 * time.Millisecond) // gather a burst of events
	}
}

func run(stdin string, name string, args ...string) (string, error) {
	c := exec.Command(name, args...)
	c.Stdin = strings.NewReader(stdin)
	var out, errb bytes.Buffer
	c.Stdout, c.Stderr = &out, &errb
	if err := c.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %v: %s", name, strings.Join(args, " "), err, strings.TrimSpace(errb.String()))
	}
	return out.String(), nil
}

func v4(cidrs []string, one string) string {
	for _, c := range append(cidrs, one) {
		if c != "" && !strings.Contains(c, ":") {
			return c
		}
	}
	return ""
}

// syncNet writes the CNI configuration, the routes and the masquerade rule.
func (d *daemon) syncNet() error {
	all, err := d.nodes.List(labels.Everything())
	if err != nil {
		return err
	}
	cidr := ""
	for _, n := range all {
		if n.Name == d.node {
			cidr = v4(n.Spec.PodCIDRs, n.Spec.PodCIDR)
			continue
		}
		other, ip := v4(n.Spec.PodCIDRs, n.Spec.PodCIDR), ""
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP && !strings.Contains(a.Address, ":") {
				ip = a.Address
			}
		}
		if other != "" && ip != "" {
			if _, err := run("", "ip", "route", "replace", other, "via", ip); err != nil {
				return err
			}
		}
	}
	if cidr == "" {
		return fmt.Errorf("node %q has no IPv4 podCIDR yet", d.node)
	}
	masq := []string{"-t", "nat", "-s", d.podSubnet, "!", "-d", d.podSubnet, "-m", "addrtype", "!", "--dst-type", "LOCAL", "-j", "MASQUERADE"}
	rule := func(op string) []string { return append([]string{"-w", "5", op, "POSTROUTING"}, masq...) }
	if _, err := run("", "iptables", rule("-C")...); err != nil {
		if _, err := run("", "iptables", rule("-A")...); err != nil {
			return err
		}
	}
	conf, _ := json.MarshalIndent(map[string]any{
		"cniVersion": "1.0.0", "name": "labnet",
		"plugins": []any{
			map[string]any{"type": "ptp", "ipMasq": false, "mtu": 1500, "ipam": map[string]any{
				"type": "host-local", "dataDir": "/run/cni-ipam-state",
				"routes": []any{map[string]string{"dst": "0.0.0.0/0"}},
				"ranges": []any{[]any{map[string]string{"subnet": cidr}}}}},
			map[string]any{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}},
		}}, "", "  ")
	if string(conf) != d.lastCNI {
		p := "/etc/cni/net.d/10-labnet.conflist"
		if err := os.WriteFile(filepath.Join("/etc/cni/net.d", ".10-labnet.tmp"), conf, 0o644); err != nil {
			return err
		}
		if err := os.Rename("/etc/cni/net.d/.10-labnet.tmp", p); err != nil {
			return err
		}
		d.lastCNI = string(conf)
		log.Printf("wrote %s (podCIDR %s)", p, cidr)
	}
	return nil
}

func short(s string) string {
	h := sha1.Sum([]byte(s))
	return hex.EncodeToString(h[:])[:20]
}

// podIP is the pod's IPv4 address, or "" for a pod that policies do not concern.
func podIP(p *corev1.Pod) string {
	if p.Spec.HostNetwork || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return ""
	}
	for _, i := range append([]corev1.PodIP{{IP: p.Status.PodIP}}, p.Status.PodIPs...) {
		if i.IP != "" && !strings.Contains(i.IP, ":") {
			return i.IP
		}
	}
	return ""
}

type compiler struct {
	pods  []*corev1.Pod
	nss   map[string]*corev1.Namespace
	sets  map[string][]string // set name -> members
	rules map[string][]string // chain -> rules
}

func matches(s *metav1.LabelSelector, l map[string]string) bool {
	sel, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && sel.Matches(labels.Set(l))
}

// peerPods are the pods that a peer of a policy in namespace ns selects.
func (c *compiler) peerPods(ns string, p netv1.NetworkPolicyPeer) []*corev1.Pod {
	var out []*corev1.Pod
	for _, pod := range c.pods {
		if p.NamespaceSelector == nil {
			if pod.Namespace != ns {
				continue
			}
		} else {
			n := c.nss[pod.Namespace]
			if n == nil || !matches(p.NamespaceSelector, n.Labels) {
				continue
			}
		}
		if p.PodSelector != nil && !matches(p.PodSelector, pod.Labels) {
			continue
		}
		if podIP(pod) != "" {
			out = append(out, pod)
		}
	}
	return out
}

// set makes an ipset of the members and returns its name.
func (c *compiler) set(members []string) string {
	sort.Strings(members)
	n := "ln-" + short(strings.Join(members, "\n"))
	c.sets[n] = members
	return n
}

func splitZero(cidr, opt string) []string {
	if cidr == "0.0.0.0/0" {
		return []string{"0.0.0.0/1" + opt, "128.0.0.0/1" + opt}
	}
	return []string{cidr + opt}
}

func namedPort(p *corev1.Pod, name string, proto corev1.Protocol) int32 {
	for _, c := range p.Spec.Containers {
		for _, q := range c.Ports {
			qp := q.Protocol
			if qp == "" {
				qp = corev1.ProtocolTCP
			}
			if q.Name == name && qp == proto {
				return q.ContainerPort
			}
		}
	}
	return 0
}

// allow adds to chain the RETURN rules of one ingress or egress rule for the local pod self.
func (c *compiler) allow(chain, ns string, self *corev1.Pod, peers []netv1.NetworkPolicyPeer, ports []netv1.NetworkPolicyPort, ingress bool) {
	dir, flag := "src", "-s"
	if !ingress {
		dir, flag = "dst", "-d"
	}
	type who struct {
		match string
		pods  []*corev1.Pod
	}
	var ws []who
	if len(peers) == 0 {
		ws = append(ws, who{"", c.peerPods(ns, netv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{}})})
	}
	for _, p := range peers {
		var m []string
		var pods []*corev1.Pod
		if p.IPBlock != nil {
			if strings.Contains(p.IPBlock.CIDR, ":") {
				continue
			}
			m = splitZero(p.IPBlock.CIDR, "")
			for _, e := range p.IPBlock.Except {
				m = append(m, splitZero(e, " nomatch")...)
			}
		} else {
			pods = c.peerPods(ns, p)
			for _, q := range pods {
				m = append(m, podIP(q))
			}
		}
		if len(m) == 0 {
			continue
		}
		ws = append(ws, who{fmt.Sprintf("-m set --match-set %s %s ", c.set(m), dir), pods})
	}
	add := func(s string) { c.rules[chain] = append(c.rules[chain], "-A "+chain+" "+s+"-j RETURN") }
	for _, w := range ws {
		if len(ports) == 0 {
			add(w.match)
			continue
		}
		for _, p := range ports {
			proto := corev1.ProtocolTCP
			if p.Protocol != nil {
				proto = *p.Protocol
			}
			base := fmt.Sprintf("-p %s -m %[1]s ", strings.ToLower(string(proto)))
			switch {
			case p.Port == nil:
				add(w.match + base)
			case p.Port.Type == intstr.Int:
				r := fmt.Sprint(p.Port.IntVal)
				if p.EndPort != nil {
					r += fmt.Sprintf(":%d", *p.EndPort)
				}
				add(w.match + base + "--dport " + r + " ")
			case ingress:
				if n := namedPort(self, p.Port.StrVal, proto); n != 0 {
					add(w.match + base + fmt.Sprintf("--dport %d ", n))
				}
			default: // a named port on egress is looked up in each peer pod
				for _, q := range w.pods {
					if n := namedPort(q, p.Port.StrVal, proto); n != 0 {
						add(fmt.Sprintf("%s %s/32 ", flag, podIP(q)) + base + fmt.Sprintf("--dport %d ", n))
					}
				}
			}
		}
	}
}

func (d *daemon) syncPolicies() error {
	c := &compiler{nss: map[string]*corev1.Namespace{}, sets: map[string][]string{}, rules: map[string][]string{}}
	var err error
	if c.pods, err = d.pods.List(labels.Everything()); err != nil {
		return err
	}
	sort.Slice(c.pods, func(i, j int) bool { return c.pods[i].UID < c.pods[j].UID })
	nss, err := d.nss.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, n := range nss {
		c.nss[n.Name] = n
	}
	nps, err := d.nps.List(labels.Everything())
	if err != nil {
		return err
	}
	sort.Slice(nps, func(i, j int) bool { return nps[i].UID < nps[j].UID })
	c.rules[top] = []string{"-A " + top + " -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"}
	var egress, ingress []string
	for _, pod := range c.pods {
		ip := podIP(pod)
		if pod.Spec.NodeName != d.node || ip == "" {
			continue
		}
		in, eg := "LNI-"+short(string(pod.UID)), "LNE-"+short(string(pod.UID))
		var isIn, isEg bool
		for _, np := range nps {
			if np.Namespace != pod.Namespace || !matches(&np.Spec.PodSelector, pod.Labels) {
				continue
			}
			types := np.Spec.PolicyTypes
			if len(types) == 0 {
				types = []netv1.PolicyType{netv1.PolicyTypeIngress}
				if len(np.Spec.Egress) > 0 {
					types = append(types, netv1.PolicyTypeEgress)
				}
			}
			for _, t := range types {
				if t == netv1.PolicyTypeIngress {
					isIn = true
					for _, r := range np.Spec.Ingress {
						c.allow(in, np.Namespace, pod, r.From, r.Ports, true)
					}
				} else {
					isEg = true
					for _, r := range np.Spec.Egress {
						c.allow(eg, np.Namespace, pod, r.To, r.Ports, false)
					}
				}
			}
		}
		if isEg {
			egress = append(egress, fmt.Sprintf("-A %s -s %s/32 -j %s", top, ip, eg))
			c.rules[eg] = append(c.rules[eg], "-A "+eg+" -j DROP")
		}
		if isIn {
			ingress = append(ingress, fmt.Sprintf("-A %s -d %s/32 -j %s", top, ip, in))
			c.rules[in] = append(c.rules[in], "-A "+in+" -j DROP")
		}
	}
	c.rules[top] = append(append(c.rules[top], egress...), ingress...)

	var sets, rules strings.Builder
	for _, n := range keys(c.sets) {
		fmt.Fprintf(&sets, "create %s hash:net family inet -exist\n", n)
		for _, m := range c.sets[n] {
			f := strings.SplitN(m, " ", 2)
			fmt.Fprintf(&sets, "add %s %s -exist", n, f[0])
			if len(f) == 2 {
				sets.WriteString(" " + f[1])
			}
			sets.WriteString("\n")
		}
	}
	for _, n := range keys(c.rules) {
		fmt.Fprintf(&rules, ":%s - [0:0]\n", n)
	}
	for _, n := range keys(c.rules) {
		rules.WriteString(strings.Join(c.rules[n], "\n") + "\n")
	}
	whole := sets.String() + rules.String()
	for _, ch := range []string{"FORWARD", "INPUT"} {
		if _, err := run("", "iptables", "-w", "5", "-C", ch, "-j", top); err != nil {
			d.lastRules = ""
		}
	}
	if whole == d.lastRules {
		return nil
	}
	save, err := run("", "iptables-save", "-t", "filter")
	if err != nil {
		return err
	}
	var gone []string
	for _, l := range strings.Split(save, "\n") {
		if n := strings.TrimPrefix(strings.Fields(l + " x")[0], ":"); strings.HasPrefix(l, ":LNI-") || strings.HasPrefix(l, ":LNE-") {
			if _, ok := c.rules[n]; !ok {
				gone = append(gone, n)
			}
		}
	}
	var in strings.Builder
	in.WriteString("*filter\n")
	for _, n := range gone {
		fmt.Fprintf(&in, ":%s - [0:0]\n", n)
	}
	in.WriteString(rules.String())
	for _, n := range gone {
		fmt.Fprintf(&in, "-X %s\n", n)
	}
	in.WriteString("COMMIT\n")
	if sets.Len() > 0 {
		if _, err := run(sets.String(), "ipset", "restore"); err != nil {
			return err
		}
	}
	if _, err := run(in.String(), "iptables-restore", "-w", "5", "--noflush"); err != nil {
		return fmt.Errorf("%v\n%s", err, in.String())
	}
	for _, ch := range []string{"FORWARD", "INPUT"} {
		if _, err := run("", "iptables", "-w", "5", "-C", ch, "-j", top); err != nil {
			if _, err := run("", "iptables", "-w", "5", "-I", ch, "1", "-j", top); err != nil {
				return err
			}
		}
	}
	if have, err := run("", "ipset", "list", "-name"); err == nil {
		for _, n := range strings.Fields(have) {
			if _, ok := c.sets[n]; !ok && strings.HasPrefix(n, "ln-") {
				run("", "ipset", "destroy", n)
			}
		}
	}
	d.lastRules = whole
	log.Printf("applied: %d policies, %d egress- and %d ingress-isolated pods, %d sets", len(nps), len(egress), len(ingress), len(c.sets))
	return nil
}

func keys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

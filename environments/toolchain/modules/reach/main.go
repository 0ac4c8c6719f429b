// Command reach says which traffic NetworkPolicies allow, by the model of cyclonus.
//
// It reads one JSON document: policies as an API server gives them, pods, addresses outside, and ports. It prints what
// becomes of traffic between all of them, on all of the ports. Whatever it does not understand ends it with an error and no verdict at all.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

var version = "v0.0.0" // set by the build

type pod struct {
	Namespace       string            `json:"namespace"`
	NamespaceLabels map[string]string `json:"namespace_labels"`
	Labels          map[string]string `json:"labels"`
	IP              string            `json:"ip"`
	Ports           map[string]string `json:"ports"` // "8443/TCP" -> the port's name
}

type document struct {
	Policies []*networkingv1.NetworkPolicy `json:"policies"`
	Pods     map[string]*pod               `json:"pods"`
	Outside  map[string]string             `json:"outside"` // name -> address
	Ports    []port                        `json:"ports"`
}

type port struct {
	Port     int         `json:"port"`
	Protocol v1.Protocol `json:"protocol"`
}

// matrix is from -> to -> one letter a port: a allowed, e refused at egress, i at ingress, b at both.
type matrix map[string]map[string]string

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("reach", version)
		return
	}
	found, err := answer(os.Stdin)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(map[string]matrix{"matrix": found})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "reach:", err)
		os.Exit(1)
	}
}

// answer reads a document and judges all its pairs. Cyclonus panics on policies that it finds invalid.
func answer(stream io.Reader) (found matrix, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			found, err = nil, fmt.Errorf("cyclonus: %v", fault)
		}
	}()
	asked, err := read(stream)
	if err != nil {
		return nil, err
	}
	if err := decideSelectors(asked); err != nil {
		return nil, err
	}
	peers, err := peersOf(asked)
	if err != nil {
		return nil, err
	}
	policy := matcher.BuildNetworkPolicies(false, asked.Policies)
	found = matrix{}
	for from, source := range peers {
		found[from] = map[string]string{}
		for to, target := range peers {
			found[from][to] = letters(policy, source, target, asked.Ports, asked.Pods[to])
		}
	}
	return found, nil
}

func letters(policy *matcher.Policy, source, target *matcher.TrafficPeer, ports []port, to *pod) string {
	said := make([]byte, len(ports))
	for index, port := range ports {
		traffic := &matcher.Traffic{
			Source: source, Destination: target, ResolvedPort: port.Port, Protocol: port.Protocol,
		}
		if to != nil {
			traffic.ResolvedPortName = to.Ports[fmt.Sprintf("%d/%s", port.Port, port.Protocol)]
		}
		said[index] = letter(policy.IsTrafficAllowed(traffic))
	}
	return string(said)
}

func letter(result *matcher.AllowedResult) byte {
	switch {
	case result.IsAllowed():
		return 'a'
	case result.Ingress.IsAllowed():
		return 'e'
	case result.Egress.IsAllowed():
		return 'i'
	default:
		return 'b'
	}
}

func read(stream io.Reader) (*document, error) {
	decoder := json.NewDecoder(stream)
	decoder.DisallowUnknownFields()
	asked := &document{}
	if err := decoder.Decode(asked); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("something follows the document")
	}
	for name, pod := range asked.Pods {
		if pod == nil || pod.Labels == nil || pod.NamespaceLabels == nil {
			return nil, fmt.Errorf("the pod %q has no labels", name)
		}
	}
	return asked, nil
}

// decideSelectors lets Kubernetes' own library decide whom a selector means, and writes the answer down as a label that
// cyclonus then finds: its own selectors take NotIn, and labels with an empty value, for something else.
func decideSelectors(asked *document) error {
	marks := &marker{asked: asked}
	for _, policy := range asked.Policies {
		if policy == nil {
			return errors.New("a policy is null")
		}
		marks.pods(&policy.Spec.PodSelector)
		for _, rule := range policy.Spec.Ingress {
			marks.peers(rule.From)
		}
		for _, rule := range policy.Spec.Egress {
			marks.peers(rule.To)
		}
	}
	return marks.err
}

type marker struct {
	asked *document
	count int
	err   error
}

func (m *marker) peers(peers []networkingv1.NetworkPolicyPeer) {
	for _, peer := range peers {
		m.pods(peer.PodSelector)
		m.mark(peer.NamespaceSelector, func(pod *pod) map[string]string { return pod.NamespaceLabels })
	}
}

func (m *marker) pods(selector *metav1.LabelSelector) {
	m.mark(selector, func(pod *pod) map[string]string { return pod.Labels })
}

// mark puts a label of ours on whomever the selector means, and has the selector ask for that. An empty one means all.
func (m *marker) mark(selector *metav1.LabelSelector, of func(*pod) map[string]string) {
	if selector == nil || len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 || m.err != nil {
		return
	}
	chosen, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		m.err = err
		return
	}
	m.count++
	name := fmt.Sprintf("reach!%d", m.count) // no label of Kubernetes can be called that
	for _, pod := range m.asked.Pods {
		if chosen.Matches(labels.Set(of(pod))) {
			of(pod)[name] = "chosen"
		}
	}
	*selector = metav1.LabelSelector{MatchLabels: map[string]string{name: "chosen"}}
}

// peersOf makes everybody known to cyclonus, and refuses what is not described as it must be.
func peersOf(asked *document) (map[string]*matcher.TrafficPeer, error) {
	for _, port := range asked.Ports {
		known := port.Protocol == v1.ProtocolTCP || port.Protocol == v1.ProtocolUDP || port.Protocol == v1.ProtocolSCTP
		if !known || port.Port < 1 || port.Port > 65535 {
			return nil, fmt.Errorf("there is no port %d/%s", port.Port, port.Protocol)
		}
	}
	peers := map[string]*matcher.TrafficPeer{}
	for name, pod := range asked.Pods {
		if pod.Namespace == "" || net.ParseIP(pod.IP) == nil {
			return nil, fmt.Errorf("the pod %q is not described", name)
		}
		inside := &matcher.InternalPeer{
			PodLabels: pod.Labels, NamespaceLabels: pod.NamespaceLabels, Namespace: pod.Namespace,
		}
		peers[name] = &matcher.TrafficPeer{Internal: inside, IP: pod.IP}
	}
	for name, address := range asked.Outside {
		if peers[name] != nil || net.ParseIP(address) == nil {
			return nil, fmt.Errorf("the address %q is not described", name)
		}
		peers[name] = &matcher.TrafficPeer{IP: address}
	}
	return peers, nil
}

// Command ways says which ways through a cluster's network are open, by trying them.
//
// It runs on a node, in the node's network. For each pod that it is asked about it finds the pod's network namespace,
// listens there on all ports, and dials everybody else from there: the pods need to run nothing. Addresses outside live
// in a namespace of its own, joined to the node by a veth, so that what pods send there never leaves the machine.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"sync"
	"time"
)

const mostBytes = 1 << 20

var version = "v0.0.0" // set by the build

type port struct {
	Port     int    `json:"port"`
	Protocol string `json:"protocol"`
}

// question names ends and addresses outside (name -> IP), and the ports to try between all of them.
type question struct {
	Ends    map[string]string `json:"ends"`
	Outside map[string]string `json:"outside"`
	Ports   []port            `json:"ports"`
}

// matrix is from -> to -> one letter a port: a got through, r did not, - cannot be tried here.
type matrix map[string]map[string]string

type agent struct {
	mutex      sync.Mutex // one question at a time: they would listen on the same ports
	namespaces string
	outside    *outside
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("ways", version)
		return
	}
	listen := flag.String("listen", "127.0.0.1:8282", "address to answer on")
	cert := flag.String("cert", "", "certificate to answer with (PEM file)")
	key := flag.String("key", "", "its key (PEM file)")
	clients := flag.String("client-ca", "", "who signs the certificates of those that may ask (PEM file)")
	namespaces := flag.String("namespaces", "/var/run/netns", "folder of the pods' network namespaces")
	flag.Parse()
	if err := serve(*listen, *cert, *key, *clients, *namespaces); err != nil {
		log.Fatal("ways: ", err)
	}
}

func serve(listen, cert, key, clients, namespaces string) error {
	pem, err := os.ReadFile(clients)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return errors.New("no certificate in " + clients)
	}
	beyond, err := newOutside()
	if err != nil {
		return fmt.Errorf("the network outside: %w", err)
	}
	one := &agent{namespaces: namespaces, outside: beyond}
	routes := http.NewServeMux()
	routes.HandleFunc("POST /ways", one.answer)
	server := &http.Server{
		Addr: listen, Handler: routes, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool},
	}
	return server.ListenAndServeTLS(cert, key)
}

func (a *agent) answer(out http.ResponseWriter, in *http.Request) {
	out.Header().Set("Content-Type", "application/json")
	asked := &question{}
	decoder := json.NewDecoder(http.MaxBytesReader(out, in.Body, mostBytes))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(asked); err != nil {
		fail(out, http.StatusBadRequest, err)
		return
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	found, err := a.ask(asked)
	if err != nil {
		fail(out, http.StatusConflict, err)
		return
	}
	_ = json.NewEncoder(out).Encode(map[string]matrix{"matrix": found})
}

func fail(out http.ResponseWriter, status int, err error) {
	out.WriteHeader(status)
	_ = json.NewEncoder(out).Encode(map[string]string{"error": err.Error()})
}

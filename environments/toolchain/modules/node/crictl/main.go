// crictl: the part of crictl that kind needs (inspecti, images) plus ps, pods, version and info, over the CRI API.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func die(err error) {
	fmt.Fprintln(os.Stderr, "crictl:", err)
	os.Exit(1)
}

func show(v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		die(err)
	}
	fmt.Println(string(b))
}

var version = "v0.0.0" // set by the build

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("crictl", version)
		return
	}
	if len(os.Args) < 2 {
		die(fmt.Errorf("usage: crictl inspecti IMAGE | images | ps | pods | version | info"))
	}
	conn, err := grpc.NewClient("unix:///run/containerd/containerd.sock",
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		die(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	im, rt := cri.NewImageServiceClient(conn), cri.NewRuntimeServiceClient(conn)
	switch os.Args[1] {
	case "inspecti":
		if len(os.Args) < 3 {
			die(fmt.Errorf("inspecti: no image given"))
		}
		for _, ref := range os.Args[2:] {
			r, err := im.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: ref}})
			if err != nil {
				die(err)
			}
			if r.Image == nil {
				die(fmt.Errorf("no such image %q present", ref))
			}
			show(map[string]any{"status": map[string]any{
				"id": r.Image.Id, "repoTags": r.Image.RepoTags, "repoDigests": r.Image.RepoDigests,
				"size": fmt.Sprint(r.Image.Size), "pinned": r.Image.Pinned,
			}})
		}
	case "images":
		r, err := im.ListImages(ctx, &cri.ListImagesRequest{})
		if err != nil {
			die(err)
		}
		for _, i := range r.Images {
			n := "<none>"
			if len(i.RepoTags) > 0 {
				n = i.RepoTags[0]
			}
			fmt.Printf("%-60s %s %d pinned=%v\n", n, i.Id, i.Size, i.Pinned)
		}
	case "ps":
		r, err := rt.ListContainers(ctx, &cri.ListContainersRequest{})
		if err != nil {
			die(err)
		}
		for _, c := range r.Containers {
			fmt.Printf("%.13s %-20s %s/%s %s attempt=%d\n", c.Id, c.State, c.Labels["io.kubernetes.pod.namespace"], c.Labels["io.kubernetes.pod.name"], c.Metadata.Name, c.Metadata.Attempt)
		}
	case "pods":
		r, err := rt.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
		if err != nil {
			die(err)
		}
		for _, p := range r.Items {
			fmt.Printf("%.13s %-20s %s/%s\n", p.Id, p.State, p.Metadata.Namespace, p.Metadata.Name)
		}
	case "version":
		r, err := rt.Version(ctx, &cri.VersionRequest{})
		if err != nil {
			die(err)
		}
		show(r)
	case "info":
		r, err := rt.Status(ctx, &cri.StatusRequest{Verbose: true})
		if err != nil {
			die(err)
		}
		show(r)
	default:
		die(fmt.Errorf("unknown command %q", os.Args[1]))
	}
}

// One binary with what a test cluster needs of Kubernetes itself: `etcd`, `apiserver` and `kubectl`, each as
// upstream has it, chosen by the first word. One binary, because each would link most of the same packages.
package main

import (
	"fmt"
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"

	_ "k8s.io/component-base/metrics/prometheus/restclient"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: kubernetes etcd|apiserver|kubectl ARGUMENTS")
		os.Exit(2)
	}
	word := os.Args[1]
	os.Args = append([]string{word}, os.Args[2:]...)
	switch word {
	case "etcd":
		etcdmain.Main(os.Args)
	case "apiserver":
		os.Exit(cli.Run(app.NewAPIServerCommand()))
	case "kubectl":
		os.Exit(cli.Run(cmd.NewDefaultKubectlCommand()))
	default:
		fmt.Fprintf(os.Stderr, "no such program: %s\n", word)
		os.Exit(2)
	}
}

package pki

import (
	"fmt"
	"os"
	"path/filepath"

	"mediarooms.dev/mediarooms/hack/cluster/instance"
)

// kubeconfig is the part of client-go's configuration file that a user with a
// certificate needs.
type kubeconfig struct {
	APIVersion     string         `json:"apiVersion"`
	Kind           string         `json:"kind"`
	CurrentContext string         `json:"current-context"`
	Clusters       []namedCluster `json:"clusters"`
	Users          []namedUser    `json:"users"`
	Contexts       []namedContext `json:"contexts"`
}

type namedCluster struct {
	Name    string `json:"name"`
	Cluster struct {
		Server string `json:"server"`
		CA     []byte `json:"certificate-authority-data"`
	} `json:"cluster"`
}

type namedUser struct {
	Name string `json:"name"`
	User struct {
		Certificate []byte `json:"client-certificate-data"`
		Key         []byte `json:"client-key-data"`
	} `json:"user"`
}

type namedContext struct {
	Name    string `json:"name"`
	Context struct {
		Cluster string `json:"cluster"`
		User    string `json:"user"`
	} `json:"context"`
}

// KubeconfigPath is the path of a component's kubeconfig.
func KubeconfigPath(i instance.Instance, user string) string {
	return i.Path("pki", user+".kubeconfig")
}

func writeKubeconfig(i instance.Instance, dir, user string) error {
	name := "mediarooms-" + i.Name
	cluster, login, context := namedCluster{Name: name}, namedUser{Name: user}, namedContext{Name: name}
	cluster.Cluster.Server = i.APIServer()
	context.Context.Cluster, context.Context.User = name, user
	for file, into := range map[string]*[]byte{
		"ca.crt": &cluster.Cluster.CA, user + ".crt": &login.User.Certificate, user + ".key": &login.User.Key,
	} {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return fmt.Errorf("reading a certificate back: %w", err)
		}
		*into = data
	}
	return instance.WriteJSON(filepath.Join(dir, user+".kubeconfig"), kubeconfig{
		APIVersion: "v1", Kind: "Config", CurrentContext: name,
		Clusters: []namedCluster{cluster}, Users: []namedUser{login}, Contexts: []namedContext{context},
	})
}

package instance

import (
	"fmt"
	"strings"
	"testing"
)

func TestInstancesNeverMeet(t *testing.T) {
	taken := map[string]string{}
	claim := func(owner, what string) {
		if other, ok := taken[what]; ok {
			t.Errorf("%s and %s both use %s", other, owner, what)
		}
		taken[what] = owner
	}
	for _, name := range names {
		i, err := New(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range names {
			o, err := New(other)
			if err != nil {
				t.Fatal(err)
			}
			if name != other && i.Range().Overlaps(o.Range()) {
				t.Errorf("%s and %s overlap", name, other)
			}
		}
		claim(name, i.Bridge())
		claim(name, i.Dir())
		claim(name, i.Cgroup())
		claim(name, i.GatewayURL())
		claim(name, i.APIServer())
		for _, port := range []int{i.EtcdClientPort(), i.EtcdPeerPort(), i.GatewayPort()} {
			claim(name, fmt.Sprintf("port %d", port))
		}
		for _, n := range i.Nodes() {
			claim(name, n.IP().String())
			claim(name, n.PodSubnet().String())
			claim(name, n.Netns())
			claim(name, n.Veth())
			claim(name, n.MAC())
			if !i.Range().Contains(n.IP()) || !i.Range().Overlaps(n.PodSubnet()) {
				t.Errorf("%s of %s lies outside of %s", n.Name, name, i.Range())
			}
			// IFNAMSIZ is 16, with the final zero.
			if len(n.Veth()) > 15 || len(i.Bridge()) > 15 {
				t.Errorf("%s or %s is too long for a network interface", n.Veth(), i.Bridge())
			}
		}
	}
}

func TestNewRefusesOtherNames(t *testing.T) {
	for _, name := range []string{"", "production", "../local"} {
		if _, err := New(name); err == nil || !strings.Contains(err.Error(), "local, test") {
			t.Errorf("New(%q) = %v, want an error that lists the names", name, err)
		}
	}
}

func TestLocalIsWhereTheReadmeSays(t *testing.T) {
	i, err := New("local")
	if err != nil {
		t.Fatal(err)
	}
	if i.GatewayURL() != "http://localhost:4443" {
		t.Errorf("the gateway is at %s", i.GatewayURL())
	}
}

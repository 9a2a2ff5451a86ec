package rest

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // What the TURN REST scheme prescribes.
	"encoding/base64"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

const (
	maxIceServers = 16
	// turnLifetime is how long credentials made from a static auth secret hold.
	turnLifetime = 24 * time.Hour
	// lookupTimeout bounds the look-ups of all host names of a request.
	lookupTimeout = 3 * time.Second
)

var hostNames = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)

// resolver looks host names up. *net.Resolver is one.
type resolver interface {
	LookupHost(ctx context.Context, host string) ([]string, error)
}

// parseIceServers reads customIceServers by the rules of openvidu-rest 2.5. It turns a static auth
// secret into credentials; the secret is never stored.
func parseIceServers(ctx context.Context, values []any, hosts resolver, now time.Time) ([]v1alpha1.IceServer, error) {
	if len(values) > maxIceServers {
		return nil, badRequest("'customIceServers' may not have more than %d elements", maxIceServers)
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	servers := make([]v1alpha1.IceServer, 0, len(values))
	for _, value := range values {
		members, ok := value.(map[string]any)
		if !ok {
			return nil, badRequest("'customIceServers' must contain objects")
		}
		server, err := parseIceServer(ctx, members, hosts, now)
		if err != nil {
			return nil, err
		}
		servers = append(servers, server)
	}
	return servers, nil
}

func parseIceServer(ctx context.Context, members map[string]any, hosts resolver, now time.Time) (v1alpha1.IceServer, error) {
	f := &fields{values: members, prefix: "customIceServers."}
	url, _ := f.text("url")
	username, hasUsername := f.text("username")
	credential, hasCredential := f.text("credential")
	secret, hasSecret := f.text("staticAuthSecret")
	if f.err != nil {
		return v1alpha1.IceServer{}, f.err
	}
	server := v1alpha1.IceServer{URL: url, Username: username, Credential: credential}
	scheme, rest, _ := strings.Cut(url, ":")
	switch scheme {
	case "stun", "stuns":
		if hasUsername || hasCredential || hasSecret {
			return server, badRequest("'customIceServers': a %s server takes no credentials", scheme)
		}
	case "turn", "turns":
		switch {
		case hasSecret && (hasUsername || hasCredential):
			return server, badRequest("'customIceServers': 'staticAuthSecret' goes alone, without 'username' and 'credential'")
		case hasSecret && secret != "":
			server.Username, server.Credential = turnCredentials(secret, now)
		case username == "" || credential == "":
			return server, badRequest("'customIceServers': a %s server needs 'username' and 'credential', or 'staticAuthSecret'", scheme)
		}
		authority, query, found := strings.Cut(rest, "?")
		if found && query != "transport=udp" && query != "transport=tcp" {
			return server, badRequest("'customIceServers': after the ? there may only be transport=udp or transport=tcp")
		}
		rest = authority
	default:
		return server, badRequest("'customIceServers': 'url' must start with stun:, stuns:, turn: or turns:")
	}
	if !validAuthority(ctx, rest, hosts) {
		return server, badRequest("'customIceServers': 'url' must have a host that exists and, if any, a port from 1 to 65535")
	}
	return server, nil
}

// validAuthority says whether a text is a host and an optional port.
func validAuthority(ctx context.Context, authority string, hosts resolver) bool {
	if inner, found := strings.CutPrefix(authority, "["); found {
		address, port, found := strings.Cut(inner, "]")
		ip, err := netip.ParseAddr(address)
		return found && err == nil && ip.Is6() && ip.Zone() == "" && (port == "" || strings.HasPrefix(port, ":") && validPort(port[1:]))
	}
	host, port, found := strings.Cut(authority, ":")
	if found && !validPort(port) {
		return false
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Is4()
	}
	if len(host) > 253 || !hostNames.MatchString(host) {
		return false
	}
	// A name below a real top-level domain is taken as it is; any other one, such as a name of the
	// cluster, must be known here.
	if dot := strings.LastIndexByte(host, '.'); dot > 0 {
		// Some are in the list only as what everything below them is: *.np.
		if _, public := publicsuffix.PublicSuffix("x" + strings.ToLower(host[dot:])); public {
			return true
		}
	}
	addresses, err := hosts.LookupHost(ctx, host)
	return err == nil && len(addresses) > 0
}

func validPort(port string) bool {
	number, err := strconv.ParseUint(port, 10, 16)
	return err == nil && number > 0
}

// turnCredentials returns credentials by the TURN REST scheme: a user name that says when they end,
// and its HMAC.
func turnCredentials(secret string, now time.Time) (username, credential string) {
	username = strconv.FormatInt(now.Add(turnLifetime).Unix(), 10) + ":" + random(alnum, 8)
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(username))
	return username, base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

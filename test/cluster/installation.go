package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"mediarooms.dev/mediarooms/test/wait"
)

// Samples are config/samples as kubectl renders them.
type Samples struct {
	// Base are the default pool, with the URL of the gateway under test, and the password of the
	// REST API.
	Base string
	// Room are the Session and the Connections, verbatim.
	Room string
}

// Prepare applies the default pool and waits until the installation works: a media pod is warm and
// the gateway answers.
func (c *Cluster) Prepare(ctx context.Context) (Samples, error) {
	samples, err := c.readSamples(ctx)
	if err != nil {
		return Samples{}, err
	}
	if _, err := c.KubectlInput(ctx, samples.Base, "apply", "-f", "-"); err != nil {
		return Samples{}, fmt.Errorf("applying the default pool: %w", err)
	}
	if err := wait.Poll(ctx, 2*time.Minute, c.Warm); err != nil {
		return Samples{}, fmt.Errorf("waiting for a warm media pod: %w", err)
	}
	if err := wait.Poll(ctx, time.Minute, c.gatewayAnswers); err != nil {
		return Samples{}, fmt.Errorf("waiting for the gateway: %w", err)
	}
	return samples, nil
}

func (c *Cluster) readSamples(ctx context.Context) (Samples, error) {
	rendered, err := c.Kubectl(ctx, "kustomize", filepath.Join(Root(), "config", "samples"))
	if err != nil {
		return Samples{}, fmt.Errorf("rendering config/samples: %w", err)
	}
	var base, room []string
	for document := range strings.SplitSeq(rendered, "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			return Samples{}, fmt.Errorf("parsing config/samples: %w", err)
		}
		switch object.GetKind() {
		case "MediaPool":
			if err := unstructured.SetNestedField(object.Object, c.GatewayURL, "spec", "publicURL"); err != nil {
				return Samples{}, err
			}
			changed, err := yaml.Marshal(object.Object)
			if err != nil {
				return Samples{}, err
			}
			base = append(base, string(changed))
		case "Secret":
			base = append(base, document)
		case "Session", "Connection":
			room = append(room, document)
		}
	}
	if len(base) < 2 || room == nil {
		return Samples{}, errors.New("reading config/samples: no MediaPool, no Secret, or no Session and Connection, in it")
	}
	return Samples{Base: strings.Join(base, "\n---\n"), Room: strings.Join(room, "\n---\n")}, nil
}

// Warm gives no error when the default pool has room for a Session on a pod that runs.
func (c *Cluster) Warm() error {
	pool, err := c.Pool(DefaultPool)
	if err != nil {
		return err
	}
	if err := Ready(pool, pool.Status.Conditions); err != nil {
		return err
	}
	if pool.Status.FreeSessions < 1 {
		return fmt.Errorf("pool %s has room for %d Sessions", pool.Name, pool.Status.FreeSessions)
	}
	return nil
}

// gatewayAnswers gives no error when there is any answer of HTTP: whatever passes connections on
// may be up before the gateway.
func (c *Cluster) gatewayAnswers() error {
	client := http.Client{Timeout: 2 * time.Second}
	answer, err := client.Get(c.GatewayURL + "/")
	if err != nil {
		return err
	}
	return answer.Body.Close()
}

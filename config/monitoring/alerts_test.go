// Package monitoring tests the alert rules of this folder with Prometheus' own tool.
package monitoring

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"
)

// cases is what promtool plays: time series, and which alerts there are then.
const cases = `
rule_files: [rules.yaml]
evaluation_interval: 1m
tests:
- interval: 1m
  input_series:
  - {series: 'mediarooms_media_connections{transport="tcp",pod="a"}', values: '4x30'}
  - {series: 'mediarooms_media_connections{transport="udp",pod="a"}', values: '1x30'}
  - {series: 'mediarooms_media_connections{transport="tcp",pod="b"}', values: '4x30'}
  - {series: 'mediarooms_media_connections{transport="udp",pod="b"}', values: '2x30'}
  alert_rule_test:
  - {eval_time: 9m, alertname: MediaroomsMediaOverTCP}
  - eval_time: 11m
    alertname: MediaroomsMediaOverTCP
    exp_alerts:
    - exp_labels: {severity: warning}
      exp_annotations:
        summary: Most media goes over TCP
        description: >-
          8 peer connections go over ICE-TCP, more than half of all. Their users have more delay wherever packets are lost. Look for a
          firewall or a load balancer that drops UDP to the media ports, and for ICE servers that applications set on a media address.
- name: half of them is not most
  interval: 1m
  input_series:
  - {series: 'mediarooms_media_connections{transport="tcp"}', values: '5x30'}
  - {series: 'mediarooms_media_connections{transport="udp"}', values: '5x30'}
  alert_rule_test:
  - {eval_time: 20m, alertname: MediaroomsMediaOverTCP}
- name: a few say nothing
  interval: 1m
  input_series:
  - {series: 'mediarooms_media_connections{transport="tcp"}', values: '9x30'}
  alert_rule_test:
  - {eval_time: 20m, alertname: MediaroomsMediaOverTCP}
`

func TestAlerts(t *testing.T) {
	object, err := os.ReadFile("alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rule struct {
		Spec any `json:"spec"`
	}
	if err := yaml.Unmarshal(object, &rule); err != nil {
		t.Fatal(err)
	}
	rules, err := yaml.Marshal(rule.Spec)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, content := range map[string][]byte{"rules.yaml": rules, "cases.yaml": []byte(cases)} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, arguments := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "cases.yaml"}} {
		command := exec.CommandContext(t.Context(), "promtool", arguments...)
		command.Dir = folder
		if output, err := command.CombinedOutput(); err != nil {
			t.Errorf("promtool %v (Debian's package prometheus): %v\n%s", arguments, err, output)
		}
	}
}

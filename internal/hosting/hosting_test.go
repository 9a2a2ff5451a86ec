package hosting

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

func TestAllows(t *testing.T) {
	expression := func(key string, operator metav1.LabelSelectorOperator, values ...string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: operator, Values: values}}}
	}
	paying, free := map[string]string{"plan": "paid", "kubernetes.io/metadata.name": "a"}, map[string]string{"kubernetes.io/metadata.name": "b"}
	for sentence, test := range map[string]struct {
		selector              *metav1.LabelSelector
		paying, free, unknown bool
		invalid               bool
	}{
		"absent is all":                         {nil, true, true, true, false},
		"an empty selector is all":              {&metav1.LabelSelector{}, true, true, true, false},
		"a label":                               {&metav1.LabelSelector{MatchLabels: map[string]string{"plan": "paid"}}, true, false, false, false},
		"names":                                 {expression("kubernetes.io/metadata.name", "In", "b", "c"), false, true, false, false},
		"a label that is not there":             {expression("plan", "DoesNotExist"), false, true, true, false},
		"an operator that there is not is none": {expression("plan", "Equals", "paid"), false, false, false, true},
		"values that are missing are none":      {expression("plan", "In"), false, false, false, true},
	} {
		t.Run(sentence, func(t *testing.T) {
			pool := &v1alpha1.MediaPool{Spec: v1alpha1.MediaPoolSpec{AllowedNamespaces: test.selector}}
			if got := [3]bool{Allows(pool, paying), Allows(pool, free), Allows(pool, nil)}; got != [3]bool{test.paying, test.free, test.unknown} {
				t.Errorf("it allows %v", got)
			}
			if err := Check(pool); (err != nil) != test.invalid {
				t.Error(err)
			}
		})
	}
}

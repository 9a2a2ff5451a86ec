package openvidu

import (
	"testing"

	"mediarooms.dev/mediarooms/mediapod/media"
)

func TestDimensionsAreReadAsClientsWriteThem(t *testing.T) {
	for text, want := range map[string]media.Dimensions{
		`{"width":640,"height":480}`:      {Width: 640, Height: 480},
		`{"width":1279.8,"height":720.4}`: {Width: 1280, Height: 720},
		`{"width":1e300,"height":1e300}`:  {Width: 1<<31 - 1, Height: 1<<31 - 1},
		`{"width":-640,"height":-480}`:    {},
		`{"width":0,"height":0}`:          {},
		`{"width":640}`:                   {},
		`"big"`:                           {},
		`big`:                             {},
		``:                                {},
	} {
		got, known := readDimensions(text)
		if got != want || known != (want != media.Dimensions{}) {
			t.Errorf("%s is read as %+v, %v", text, got, known)
		}
		if again, _ := readDimensions(wireDimensions(got)); again != got {
			t.Errorf("%s is written as %s", text, wireDimensions(got))
		}
	}
}

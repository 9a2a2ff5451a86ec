package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHelpShowsHowItIsUsed(t *testing.T) {
	var output bytes.Buffer
	_, err := run(t.Context(), []string{"-help"}, &output, &output)
	if !errors.Is(err, flag.ErrHelp) {
		t.Errorf("error %v", err)
	}
	for _, text := range []string{"OPENVIDU_SECRET=", "-subscribers int", "-max-delay-p99 time", "exit status"} {
		if !strings.Contains(output.String(), text) {
			t.Errorf("no %q in the help", text)
		}
	}
}

func TestWhatCanNotBePlayedIsToldWithoutAnySecret(t *testing.T) {
	t.Setenv(secretVariable, "")
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("wss://rooms.example?sessionId=a&token=tok_1\n%zz?token=tok_hidden\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string]string{
		"either -url or -tokens is needed":        "",
		"the secret of the REST API is needed":    "-url https://rooms.example",
		`"rooms.example" is no http or https URL`: "-url rooms.example -secret x",
		"at least one room with one participant":  "-rooms 0",
		"3 impaired subscribers of 1":             "-impaired 3",
		`"av1" is neither vp8 nor h264`:           "-codec av1",
		"-temporal-layers: 1 to 3":                "-codec h264 -temporal-layers 2",
		"-audio-kbps: 500 is not from 0 to 128":   "-audio-kbps 500",
		"audio, video or both":                    "-no-video -audio-kbps 0",
		"240 frames a second":                     "-fps 240",
		"-signalling needs -tokens":               "-url https://rooms.example -signalling wss://pod:7444",
		"line 2 is no URL with a sessionId":       "-tokens " + tokens,
		`unknown argument "more"`:                 "more",
		"-loss is from 0 to 1":                    "-impaired 1 -loss 7 -url https://rooms.example -secret x",
		"no certificate in " + tokens:             "-url https://rooms.example -secret x -ca " + tokens,
	} {
		var output bytes.Buffer
		_, err := run(t.Context(), strings.Fields(args), &output, &output)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("roomload %s: %v, want %s", args, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("roomload %s shows a token: %v", args, err)
		}
	}
}

func TestALoadThatNobodyServesMissesItsLimits(t *testing.T) {
	folder := t.TempDir()
	tokens, report := filepath.Join(folder, "tokens"), filepath.Join(folder, "report")
	// Nobody listens on the discard port of the loopback interface.
	if err := os.WriteFile(tokens, []byte("ws://127.0.0.1:9?sessionId=a&token=tok_1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var output, progress bytes.Buffer
	missed, err := run(t.Context(), []string{
		"-tokens", tokens, "-subscribers", "0", "-duration", "1ms", "-ramp", "0", "-quiet", "-json", report, "-min-join-success", "1", "-max-delay-p99", "6ms",
	}, &output, &progress)
	if err != nil || !missed {
		t.Errorf("missed %v, error %v", missed, err)
	}
	for _, text := range []string{"join success is 0, at least 1 is wanted", "nothing was received"} {
		if !strings.Contains(progress.String(), text) {
			t.Errorf("no %q in %q", text, progress.String())
		}
	}
	if !strings.Contains(output.String(), "0 of 1 succeeded") || strings.Contains(output.String(), "tok_1") {
		t.Errorf("report:\n%s", output.String())
	}
	if written, err := os.ReadFile(report); err != nil || !bytes.Contains(written, []byte(`"success": 0`)) || bytes.Contains(written, []byte("tok_1")) {
		t.Errorf("JSON: %s, %v", written, err)
	}
}

func TestSimulcastAndAudioAreAsAsked(t *testing.T) {
	o, err := parse([]string{"-simulcast", "-kbps", "1500", "-audio-kbps", "32", "-stay", "10s"}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	s := o.load.Stream
	if len(s.Video) != 3 || s.Video[2].Kbps != 1500 || s.Video[0].RID != "rdiv4" || s.AudioPacketBytes != 80 || o.load.Stay != 10*time.Second {
		t.Errorf("%+v", o.load)
	}
}

module food101-vgg19/tests/cluster/components/pause

go 1.26.0

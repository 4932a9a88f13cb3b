"""What is computed: tensors, ops and the graphs they form, from a zoo or from ONNX files."""

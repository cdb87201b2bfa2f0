"""The steps that stream and daily batch share: thin PTransforms, each beside the plain functions it is made of."""

"""The weight of a sample: forgetting, agreement with neighbours, their blend, and which samples are reliable."""
